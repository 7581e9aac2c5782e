//! `WebSocketProxy`: leads a handshake to a server of a pool.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{Method, Response, Uri, Version, request};
use schemars::JsonSchema;
use serde::Deserialize;
use ws::extensions::without_context_takeover;
use ws::handshake::{Offer, check_request};

use super::{Deps, Filter, Handling, Kind, Verdict};
use crate::context::{Context, Upgrade};
use crate::fault::{Blame, Fault};
use crate::net::reply::{Reply, ReplyBody, refusal};
use crate::spec::pool::{Compression, Pool as PoolSpec};
use crate::spec::{Check, Diagnostic, FilterSpec, KindReader, Reader, Spanned};
use crate::upstream::handshake::Invitation;
use crate::upstream::headers::{end_to_end, pairs};
use crate::upstream::pool::Outcome;
use crate::upstream::{Agreed, Asker, Matcher, Pool, tls};

/// `WebSocketProxy`.
pub const KIND: Kind = Kind {
    reader: KindReader::of::<Spec>(
        "WebSocketProxy",
        &["clientError", "internalError", "refused", "serverError"],
    )
    .without_body(),
    build,
};

const CLIENT_ERROR: Verdict = Verdict::Result("clientError");
const INTERNAL_ERROR: Verdict = Verdict::Result("internalError");
const REFUSED: Verdict = Verdict::Result("refused");
const SERVER_ERROR: Verdict = Verdict::Result("serverError");

/// The name of the pool without a filter, where it has no other.
const MAIN: &str = "main";

/// Connects a client to a server of a pool by WebSocket. The server is asked first: the client gets its answer.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(rename = "WebSocketProxy")]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The pools. Exactly one has no `filter`; it takes the requests that no other takes.
    pub pools: Spanned<Vec<Spanned<PoolSpec>>>,
    /// The `Origin` to send to a server when the client sent none, as written here. Default: none is sent.
    #[serde(default)]
    pub default_origin: Option<Spanned<String>>,
}

impl Spec {
    /// The pool without `filter`. There is one in every spec that was read without an error.
    pub fn main_pool(&self) -> Option<&PoolSpec> {
        self.pools.iter().map(|pool| &**pool).find(|pool| !pool.is_candidate())
    }
}

impl Check for Spec {
    fn files(&self) -> Vec<&Path> {
        self.pools.iter().flat_map(|pool| pool.files()).collect()
    }

    fn check(&self, reader: &Reader) {
        let mut main = self.pools.iter().filter(|pool| !pool.is_candidate());
        match (main.next(), main.next()) {
            (Some(_), None) => {}
            (None, _) => {
                let title = "one pool must have no `filter`: it takes the requests that no other takes";
                reader.report(Diagnostic::error(title).at(self.pools.span()));
            }
            (Some(first), Some(second)) => {
                let title = "only one pool can be without a `filter`";
                reader.report(
                    Diagnostic::error(title)
                        .at(second.span())
                        .other(first.span(), "this is the first")
                        .help("to spread connections over more servers, list them in one pool"),
                );
            }
        }
        let mut names = HashMap::new();
        for pool in self.pools.iter() {
            pool.check(reader, pool.span());
            tls::check(pool, reader);
            let Some(name) = &pool.name else { continue };
            if pool.is_candidate() && name.as_str() == MAIN {
                let title = "a pool with a `filter` cannot be called `main`: that is the one without";
                reader.report(Diagnostic::error(title).at(name.span()));
            }
            if let Some(first) = names.insert(&**name, name.span()) {
                let title = format!("two pools are called `{}`", **name);
                reader.report(Diagnostic::error(title).at(name.span()).other(first, "this is the first"));
            }
        }
        if let Some(origin) =
            self.default_origin.as_ref().filter(|origin| HeaderValue::from_str(origin).is_err())
        {
            reader.report(Diagnostic::error("no header can have this value").at(origin.span()));
        }
    }
}

#[derive(Debug)]
struct WebSocketProxy {
    /// Each with the requests it is for; the first that fits is taken.
    candidates: Vec<(Matcher, Arc<Pool>)>,
    /// For all other requests.
    main: Arc<Pool>,
    /// For servers that insist on an `Origin` where the client has none.
    default_origin: Option<HeaderValue>,
}

fn build(spec: &dyn FilterSpec, deps: &Deps<'_>) -> Option<Arc<dyn Filter>> {
    let spec = spec.downcast::<Spec>()?;
    let candidates = spec.pools.iter().filter_map(|pool| Some((pool.filter.as_ref()?, pool)));
    let candidates = candidates.enumerate().map(|(number, (filter, pool))| {
        (Matcher::new(filter), deps.pool(pool, &format!("candidate#{number}")))
    });
    let candidates = candidates.collect();
    let main = deps.pool(spec.main_pool()?, MAIN);
    let default_origin = spec.default_origin.as_ref().and_then(|origin| origin.parse().ok());
    Some(Arc::new(WebSocketProxy { candidates, main, default_origin }))
}

impl Filter for WebSocketProxy {
    fn handle<'a>(&'a self, context: &'a mut Context) -> Handling<'a> {
        Box::pin(async move {
            match self.open(context).await {
                Ok((reply, upgrade)) => {
                    context.reply = Some(reply);
                    context.upgrade = upgrade;
                    if context.upgrade.is_some() { Verdict::Next } else { REFUSED }
                }
                Err(fault) => {
                    context.reply = Some(refusal(&fault));
                    verdict(&fault)
                }
            }
        })
    }

    fn pools(&self) -> Vec<&Arc<Pool>> {
        self.candidates.iter().map(|(_, pool)| pool).chain([&self.main]).collect()
    }
}

fn verdict(fault: &Fault) -> Verdict {
    match fault.blame() {
        Blame::Client => CLIENT_ERROR,
        Blame::Server => SERVER_ERROR,
        Blame::Gateway => INTERNAL_ERROR,
    }
}

impl WebSocketProxy {
    /// Asks the pool's servers; the client hears what they say.
    async fn open(&self, context: &Context) -> Result<(Reply, Option<Upgrade>), Fault> {
        let request = &context.request;
        let fields = pairs(&request.headers);
        let asker = Asker { address: context.client.address, head: request };
        let pool = self.pool(asker);
        let offer = check(request, &fields, pool)?;
        let invitation = self.invitation(context, &offer);
        Ok(match pool.open(asker, &invitation, &offer).await? {
            Outcome::Refused(reply) => (reply, None),
            Outcome::Agreed(agreed) => agree(*agreed, pool.compression),
        })
    }

    fn pool(&self, asker: Asker<'_>) -> &Pool {
        let candidate = self.candidates.iter().find(|(matcher, _)| matcher.matches(asker));
        candidate.map_or(&self.main, |(_, pool)| pool)
    }

    /// The client's handshake as servers get it.
    fn invitation(&self, context: &Context, offer: &Offer<'_>) -> Invitation {
        let request = &context.request;
        let mut headers = end_to_end(&request.headers, &[CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS]);
        set_upgrade(&mut headers);
        if let Ok(extensions) = HeaderValue::from_str(&offer.extensions)
            && !extensions.is_empty()
        {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
        }
        if let Some(origin) = &self.default_origin {
            headers.entry(ORIGIN).or_insert_with(|| origin.clone());
        }
        context.client.forward(&mut headers);
        let target = request.uri.path_and_query().cloned().map_or(Uri::from_static("/"), Uri::from);
        Invitation { target, headers, extensions: request.extensions.clone() }
    }
}

/// What the client asks for, if it may and asks properly.
fn check<'a>(
    request: &request::Parts,
    fields: &[(&'a str, &'a [u8])],
    pool: &Pool,
) -> Result<Offer<'a>, Fault> {
    if request.method != Method::GET {
        return Err(Fault::MethodNotAllowed { allow: Method::GET.to_string() });
    }
    if request.version < Version::HTTP_11 {
        return Err(Fault::HttpVersion);
    }
    let mut offer = check_request(fields.iter().copied()).map_err(Fault::Handshake)?;
    if declares_body(&request.headers) {
        return Err(Fault::BodyDeclared);
    }
    if !pool.origin.allows(&request.headers) {
        return Err(Fault::OriginRefused);
    }
    match pool.compression {
        Compression::PassThrough => {}
        Compression::NoContextTakeover => {
            (offer.deflate, offer.extensions) = without_context_takeover(&offer.deflate, &offer.extensions);
        }
        Compression::Off => (offer.deflate, offer.extensions) = (Vec::new(), String::new()),
    }
    Ok(offer)
}

/// The client's 101 is the server's, as far as it is not about the connection to the server.
fn agree(agreed: Agreed, compression: Compression) -> (Reply, Option<Upgrade>) {
    let Agreed { mut head, deflate, leg, claim } = agreed;
    set_upgrade(&mut head.headers);
    if let (Compression::NoContextTakeover, Some(mut params)) = (compression, deflate) {
        // In an offer this is a hint that servers may ignore; in an answer it binds (RFC 7692 7.1.1.2).
        params.client_no_context_takeover = true;
        if let Ok(answer) = HeaderValue::from_str(&params.to_string()) {
            head.headers.insert(SEC_WEBSOCKET_EXTENSIONS, answer);
        }
    }
    let upgrade = Upgrade::new(leg, claim, deflate.is_some());
    (Response::from_parts(head, ReplyBody::default()), Some(upgrade))
}

fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// What follows a handshake are frames: bytes that count as a body here could be frames elsewhere.
fn declares_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}
