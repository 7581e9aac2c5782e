//! What one request carries on its way through a pipeline.

use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING, UPGRADE};
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
    /// The server's side of a WebSocket. It is opened if the reply is a 101 at the end of the flow; else the server is told
    /// that nobody comes.
    pub upgrade: Option<Upgrade>,
    /// The worker's connections to servers.
    pub connections: Rc<Connections>,
    /// What becomes of the client's answer at the end of the flow, whoever gives it.
    pub reply_edits: Vec<Edits>,
    /// What filters work on beside the client's request.
    pub namespaces: Namespaces,
}

/// Requests beside the client's own, each with what became of it, by the names of their namespaces.
#[derive(Debug, Default)]
pub struct Namespaces(Vec<(Arc<str>, Aside)>);

/// What [`Context::switch`] exchanges.
#[derive(Debug)]
struct Aside {
    request: request::Parts,
    body: RequestBody,
    reply: Option<Reply>,
    upgrade: Option<Upgrade>,
}

impl Context {
    /// Has filters work on the request of `namespace`, and on their answer to it; and the next time on what was there
    /// before. A namespace begins with a copy of the request as it is, which has no body and asks for no WebSocket.
    pub fn switch(&mut self, namespace: &Arc<str>) {
        let known = self.namespaces.0.iter().position(|(name, _)| name == namespace);
        let at = known.unwrap_or_else(|| {
            self.namespaces.0.push((namespace.clone(), Aside::of(&self.request)));
            self.namespaces.0.len() - 1
        });
        if let Some((_, aside)) = self.namespaces.0.get_mut(at) {
            mem::swap(&mut self.request, &mut aside.request);
            mem::swap(&mut self.body, &mut aside.body);
            mem::swap(&mut self.reply, &mut aside.reply);
            mem::swap(&mut self.upgrade, &mut aside.upgrade);
        }
    }

    /// Makes the edits that filters have asked for.
    pub fn finish(&mut self) {
        if let Some(reply) = &mut self.reply {
            self.reply_edits.iter().for_each(|edits| edits.apply(reply.headers_mut()));
        }
    }

    /// The request as the choice of a server sees it.
    pub fn asker(&self) -> Asker<'_> {
        Asker { address: self.client.address, head: &self.request }
    }
}

impl Aside {
    /// `Connection` stays: it names headers that are not to be passed on.
    fn of(request: &request::Parts) -> Self {
        let mut request = request.clone();
        for name in [CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING, UPGRADE] {
            request.headers.remove(name);
        }
        Aside { request, body: RequestBody::default(), reply: None, upgrade: None }
    }
}
