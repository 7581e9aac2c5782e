//! A client's handshake, led to a server of a pool.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{Method, Response, Uri, Version, request};
use ws::extensions::without_context_takeover;
use ws::handshake::{Offer, check_request};

use super::handshake::Invitation;
use super::headers::{end_to_end, pairs};
use super::pool::Outcome;
use super::{Agreed, Asker, Pool};
use crate::fault::Fault;
use crate::net::forwarded::Client;
use crate::net::reply::{Reply, ReplyBody};
use crate::spec::pool::Compression;
use crate::tunnel::{Claim, Leg};

/// The server's half of a WebSocket that waits for the client's 101 to be written. Dropped before that, it tells the
/// server that nobody comes.
#[derive(Debug)]
pub struct Upgrade {
    /// The connection to the server, with identity and rules of the tunnel to be, until they are taken.
    server: Option<(Leg, Claim)>,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
}

impl Upgrade {
    /// The server's side, for its tunnel. There is one until it was taken.
    pub fn take(&mut self) -> Option<(Leg, Claim)> {
        self.server.take()
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        if let Some((leg, claim)) = self.server.take() {
            leg.decline(&claim.policy());
        }
    }
}

/// Asks the servers of `pool` for what `client` wants; the client hears what they say. `default_origin` stands in for
/// an `Origin` that the client did not send.
///
/// # Errors
/// The client asks for what it may not, or asks wrongly; or no server gave an answer that could be relayed.
///
/// Cancel safe: dropped, the connection under way is closed.
pub async fn open(
    pool: &Pool,
    request: &request::Parts,
    client: &Client,
    default_origin: Option<&HeaderValue>,
) -> Result<(Reply, Option<Upgrade>), Fault> {
    let fields = pairs(&request.headers);
    let offer = check(request, &fields, pool)?;
    let invitation = invitation(request, client, default_origin, &offer);
    let asker = Asker { address: client.address, head: request };
    Ok(match pool.open(asker, &invitation, &offer).await? {
        Outcome::Refused(reply) => (reply, None),
        Outcome::Agreed(agreed) => agree(*agreed, pool.compression),
    })
}

/// The client's handshake as servers get it.
fn invitation(
    request: &request::Parts,
    client: &Client,
    default_origin: Option<&HeaderValue>,
    offer: &Offer<'_>,
) -> Invitation {
    let mut headers = end_to_end(&request.headers, &[CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS]);
    set_upgrade(&mut headers);
    if let Ok(extensions) = HeaderValue::from_str(&offer.extensions)
        && !extensions.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    if let Some(origin) = default_origin {
        headers.entry(ORIGIN).or_insert_with(|| origin.clone());
    }
    client.forward(&mut headers);
    let target = request.uri.path_and_query().cloned().map_or(Uri::from_static("/"), Uri::from);
    let secure = client.is_secure(&request.headers);
    Invitation { target, headers, spelling: request.extensions.get().cloned(), secure }
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
    if request.version != Version::HTTP_11 {
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
    let upgrade = Upgrade { server: Some((leg, claim)), deflate: deflate.is_some() };
    (Response::from_parts(head, ReplyBody::default()), Some(upgrade))
}

fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// What follows a handshake are frames: bytes that count as a body here could be frames elsewhere.
pub(super) fn declares_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}
