//! One request: its way through a pipeline, and what it leaves behind.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::uri::Authority;
use http::{Method, StatusCode, Version, request};

use super::connection::Visit;
use super::http2;
use super::serving::Serving;
use super::worker::Local;
use crate::context::{Context, Namespaces};
use crate::fault::Fault;
use crate::net::body::{Ended, RequestBody};
use crate::net::forwarded::Peer;
use crate::net::reply::{ERROR_HEADER, Reply, refusal};
use crate::net::unread::ClientBody;
use crate::pipeline::Pipeline;
use crate::telemetry::access_log::{Answer, Entry};
use crate::tunnel::TunnelId;
use crate::upstream::websocket::Upgrade;

/// The type of server-sent events.
const EVENTS: &[u8] = b"text/event-stream";

/// What a request leaves behind when its answer is a 101.
pub(super) struct Opening {
    pub(super) id: TunnelId,
    pub(super) route: Arc<str>,
    pub(super) address: IpAddr,
    pub(super) upgrade: Upgrade,
}

/// A request whose way is known, and what is to be told of it.
pub(super) struct Routed {
    serving: Arc<Serving>,
    entry: Option<Box<(Entry, Ended)>>,
    wants_upgrade: bool,
    way: Result<(Box<Context>, Arc<Pipeline>), Fault>,
}

impl Routed {
    /// Finds the way of a request. Not `async`, so that the future of each request has room for what is there when it
    /// waits, and for nothing else.
    pub(super) fn new(head: request::Parts, body: Option<ClientBody>, visit: &Visit) -> Self {
        let Visit { peer, front, local, .. } = visit;
        let serving = front.serving.load_full();
        let format = serving.access_log.clone();
        let mut entry =
            format.map(|format| Box::new((Entry::new(format, &head, peer.address), Ended::default())));
        let wants_upgrade = head.headers.contains_key(UPGRADE);
        let way = match (local.lifecycle.is_stopping(), visit.welcome) {
            (true, _) => Err(Fault::Stopping),
            (false, false) => Err(Fault::NoRoom),
            (false, true) if serving.drained.all => Err(Fault::Drained),
            (false, true) => route(head, body, peer, &serving, local, entry.as_deref_mut()),
        };
        Routed { serving, entry, wants_upgrade, way }
    }

    /// Leads the request through its pipeline. Where the answer is a 101, `opening` is what it leaves behind.
    ///
    /// Cancel safe: dropped, the request is given up.
    pub(super) async fn answer(self, visit: &Visit, opening: &Cell<Option<Opening>>) -> Reply {
        let Routed { serving, entry, wants_upgrade, way } = self;
        // The next request is to find its way to another gateway.
        let is_drained = matches!(way, Err(Fault::Drained));
        let (mut reply, upgraded) = match way {
            Ok((mut context, pipeline)) => {
                pipeline.run(&mut context).await;
                conclude(*context)
            }
            Err(fault) => (refusal(&fault), None),
        };
        if upgraded.is_none() && (wants_upgrade || reply.status() == StatusCode::SWITCHING_PROTOCOLS) {
            // Behind a refused upgrade may stand frames that look like requests: none of it is served.
            reply.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
        }
        if upgraded.is_none() && (is_drained || visit.era.is_cancelled()) {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(pause) = serving.answer_pause.filter(|_| !is_event_stream(reply.headers())) {
            reply = reply.map(|body| body.paced(pause));
        }
        let error = reply.headers().get(ERROR_HEADER).and_then(|label| label.to_str().ok());
        visit.front.metrics.answered(reply.status(), error);
        opening.set(upgraded);
        match entry {
            Some(entry) => logged(reply, entry.0, entry.1),
            None => reply,
        }
    }
}

/// Has a line written to the access log, once the answer is sent.
fn logged(reply: Reply, entry: Entry, body: Ended) -> Reply {
    let (status, headers) = (reply.status(), reply.headers().clone());
    let error =
        headers.get(ERROR_HEADER).and_then(|label| label.to_str().ok()).unwrap_or_default().to_owned();
    let write = move |sent| entry.write(&Answer { status, error, headers, received: body.read(), sent });
    reply.map(|body| body.watched(write))
}

/// Finds the request's pipeline.
fn route(
    mut head: request::Parts,
    body: Option<ClientBody>,
    peer: &Peer,
    serving: &Serving,
    local: &Local,
    mut entry: Option<&mut (Entry, Ended)>,
) -> Result<(Box<Context>, Arc<Pipeline>), Fault> {
    if head.version == Version::HTTP_2 {
        http2::settle(&mut head)?;
    }
    settle_host(&mut head)?;
    if body.is_some() {
        check_form(&head)?;
    }
    let client = serving.trusted.client(peer, &head.headers);
    client.settle(&mut head.headers);
    if let Some((entry, _)) = &mut entry {
        entry.client = client.address;
    }
    let found = serving.router.find(&head, client.address)?;
    let body = body.map(|body| RequestBody::new(body, found.route.max_body, serving.head_timeout));
    let body = body.unwrap_or_default();
    if let Some((entry, ended)) = entry {
        entry.route = Some(found.route.name.clone());
        *ended = body.ended();
    }
    if serving.drained.routes.contains(&found.route.name) {
        return Err(Fault::Drained);
    }
    found.set_headers(&mut head, &client);
    let pipeline = serving.pipelines.get(&*found.route.backend).cloned().ok_or(Fault::PipelineMissing)?;
    if body.is_too_large() {
        return Err(Fault::BodyTooLarge);
    }
    let mut context = Box::new(Context {
        id: TunnelId::random(),
        request: head,
        body,
        client,
        route: found.route.name.clone(),
        reply: None,
        upgrade: None,
        connections: local.connections.clone(),
        reply_edits: Vec::new(),
        namespaces: Namespaces::default(),
    });
    if let Some(target) = found.target {
        context.request.uri = target;
    }
    Ok((context, pipeline))
}

/// Makes `Host` name the one host that is meant, for routing, the check of origins and the server alike: exactly
/// one has to be there, and an absolute target overrules it (RFC 9112 3.2).
fn settle_host(head: &mut request::Parts) -> Result<(), Fault> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let sent = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => head.version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    let target = head.uri.authority().map(|authority| authority.as_str());
    if !sent || !target.is_none_or(|target| is_host(target.as_bytes())) {
        return Err(Fault::HostInvalid);
    }
    if let Some(host) = target.and_then(|target| HeaderValue::from_str(target).ok()) {
        head.headers.insert(HOST, host);
    }
    Ok(())
}

/// Refuses what has a form that nobody here serves, where hyper has read the head. Of a coding before `chunked` servers
/// would not be told (RFC 9112 6.1).
fn check_form(head: &request::Parts) -> Result<(), Fault> {
    if head.method == Method::CONNECT {
        return Err(Fault::ConnectMethod);
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Fault::TransferCoding),
    }
}

/// Whether an answer may be silent for as long as nothing happens (WHATWG HTML 9.2).
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.get(..EVENTS.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS))
}

/// Whether this is a host, maybe with a port, and nothing else.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    // As nearly all are: what the parser finds out takes it ten times as long.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if !name.is_empty() && name.bytes().all(is_plain) && is_port(port) {
        return true;
    }
    let Ok(authority) = Authority::try_from(text) else { return false };
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
    port.is_empty() || port.strip_prefix(':').is_some_and(is_port)
}

/// A port may be empty (RFC 3986 3.2.3), and has no sign, which `parse` would take.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// The answer that a pipeline came to.
fn conclude(context: Context) -> (Reply, Option<Opening>) {
    let Context { id, route, client, reply, upgrade, .. } = context;
    let Some(reply) = reply else { return (refusal(&Fault::NoReply), None) };
    let upgrade = upgrade.filter(|_| reply.status() == StatusCode::SWITCHING_PROTOCOLS);
    (reply, upgrade.map(|upgrade| Opening { id, route, address: client.address, upgrade }))
}
