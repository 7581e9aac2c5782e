//! What is known of a tunnel that has ended.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ws::CloseCode;

use super::farewell::Cause;
use super::registry::Progress;
use super::{Account, Side, TunnelId};
use crate::net::address::Written;

/// One ended tunnel: what the log line at close and the metrics say.
#[derive(Clone, Debug)]
pub struct Record {
    /// Names the tunnel.
    pub id: TunnelId,
    /// `server/rule/path`.
    pub route: Arc<str>,
    /// Who the client was.
    pub client: IpAddr,
    /// Pool and server.
    pub account: Arc<Account>,
    /// From the handshake to the end of the later connection.
    pub duration: Duration,
    /// From the handshake to the first sign of the end.
    pub until_end: Duration,
    /// What was passed on.
    pub progress: Progress,
    /// The Close frames on each side.
    pub codes: Codes,
    /// Why it ended.
    pub cause: Cause,
}

/// The Close frames of a tunnel by side.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Codes {
    /// What the client sent.
    pub from_client: CloseSeen,
    /// What the server sent.
    pub from_server: CloseSeen,
    /// What the gateway itself sent to the client.
    pub to_client: CloseSeen,
    /// What the gateway itself sent to the server.
    pub to_server: CloseSeen,
}

/// A Close frame, or that there was none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum CloseSeen {
    /// No Close frame.
    #[default]
    None,
    /// A Close frame without a code.
    Empty,
    /// A Close frame with this code.
    Code(CloseCode),
}

impl Record {
    /// Tells who observes the account.
    pub fn tell(&self) {
        if let Some(observer) = &self.account.observer {
            observer.ended(self);
        }
    }

    /// Writes the log line at close.
    pub fn log(&self) {
        let Progress { to_server, to_client } = self.progress;
        tracing::info!(
            target: "ropeway::tunnel",
            id = %self.id,
            client = %Written(self.client),
            route = %self.route,
            pool = self.account.pool,
            server = self.account.server,
            duration_ms = self.duration.as_millis() as u64,
            client_messages = to_server.messages,
            client_bytes = to_server.bytes,
            server_messages = to_client.messages,
            server_bytes = to_client.bytes,
            client_close = %self.codes.from_client,
            server_close = %self.codes.from_server,
            sent_to_client = %self.codes.to_client,
            sent_to_server = %self.codes.to_server,
            ended_by = self.cause.ended_by(),
            cause = %self.cause,
            "tunnel closed"
        );
    }
}

impl Codes {
    pub(super) fn received(&mut self, from: Side, code: Option<CloseCode>) {
        *self.from(from) = code.map_or(CloseSeen::Empty, CloseSeen::Code);
    }

    pub(super) fn sent(&mut self, to: Side, close: CloseSeen) {
        *self.to(to) = close;
    }

    /// Whether both sides have sent a Close frame.
    pub(super) fn are_exchanged(&self) -> bool {
        self.from_client != CloseSeen::None && self.from_server != CloseSeen::None
    }

    fn from(&mut self, side: Side) -> &mut CloseSeen {
        match side {
            Side::Client => &mut self.from_client,
            Side::Server => &mut self.from_server,
        }
    }

    fn to(&mut self, side: Side) -> &mut CloseSeen {
        match side {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_server,
        }
    }
}

impl fmt::Display for CloseSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseSeen::None => f.write_str("-"),
            CloseSeen::Empty => f.write_str("empty"),
            CloseSeen::Code(code) => f.write_str(itoa::Buffer::new().format(code.get())),
        }
    }
}
