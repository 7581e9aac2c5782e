//! What one request carries on its way through a pipeline.

use std::rc::Rc;
use std::sync::Arc;

use http::request;

use crate::net::body::RequestBody;
use crate::net::forwarded::Client;
use crate::net::headers::Edits;
use crate::net::reply::Reply;
use crate::tunnel::TunnelId;
use crate::upstream::websocket::Upgrade;
use crate::upstream::{Asker, Connections};

/// One request, and what the filters have made of it so far.
#[derive(Debug)]
pub struct Context {
    /// Names the request, and the tunnel it may become.
    pub id: TunnelId,
    /// The head of the request. Filters may change it for those behind them.
    pub request: request::Parts,
    /// Its body, for the filter that takes it. What nobody reads is not asked for.
    pub body: RequestBody,
    /// Who sent it.
    pub client: Client,
    /// `server/rule/path`, by which logs and metrics name the route.
    pub route: Arc<str>,
    /// The answer, once a filter has one.
    pub reply: Option<Reply>,
    /// The server's side of a WebSocket, where the reply is a 101.
    pub upgrade: Option<Upgrade>,
    /// The worker's connections to servers.
    pub connections: Rc<Connections>,
    /// What becomes of the client's answer at the end of the flow, whoever gives it; a 101 stays as it is.
    pub reply_edits: Vec<Edits>,
}

impl Context {
    /// Answers the request, in the place of whatever answer there was. A server that had agreed to a WebSocket is told
    /// that nobody comes.
    pub fn answer(&mut self, reply: Reply) {
        self.upgrade = None;
        self.reply = Some(reply);
    }

    /// Makes the edits that filters have asked for.
    pub fn finish(&mut self) {
        if let Some(reply) = self.reply.as_mut().filter(|_| self.upgrade.is_none()) {
            self.reply_edits.iter().for_each(|edits| edits.apply(reply.headers_mut()));
        }
    }

    /// The request as the choice of a server sees it.
    pub fn asker(&self) -> Asker<'_> {
        Asker { address: self.client.address, head: &self.request }
    }
}
