//! What one request carries on its way through a pipeline.

use std::sync::Arc;

use http::request;

use crate::net::forwarded::Client;
use crate::net::reply::Reply;
use crate::tunnel::{Claim, Leg, TunnelId};

/// One request, and what the filters have made of it so far.
#[derive(Debug)]
pub struct Context {
    /// Names the request, and the tunnel it may become.
    pub id: TunnelId,
    /// The head of the request. Filters may change it for those behind them.
    pub request: request::Parts,
    /// Who sent it.
    pub client: Client,
    /// `server/rule/path`, by which logs and metrics name the route.
    pub route: Arc<str>,
    /// The answer, once a filter has one.
    pub reply: Option<Reply>,
    /// The server's side of a WebSocket, where the reply is a 101.
    pub upgrade: Option<Upgrade>,
}

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
    /// `leg` is the server's side.
    pub fn new(leg: Leg, account: Claim, deflate: bool) -> Self {
        Upgrade { server: Some((leg, account)), deflate }
    }

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
