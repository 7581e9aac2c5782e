//! How a tunnel ends: the closed list of causes, and who is told what.

use std::fmt;

use ws::{CloseCode, CloseFrame, Violation};

use super::Side;
use super::policy::Policy;
use super::record::CloseSeen;

/// Why a tunnel ended. Every tunnel ends with exactly one cause: the first thing that made it end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// This side sent a Close frame, with this code.
    Closed(Side, Option<CloseCode>),
    /// The connection to this side was lost, or ended, without a Close frame.
    Vanished(Side),
    /// This side broke a rule of the protocol, or a limit.
    Violation(Side, Violation),
    /// The gateway ends it in good order.
    Drain(Why),
    /// A fault in the gateway, caught within the tunnel.
    Panic,
}

/// Why the gateway ends tunnels that nothing is wrong with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The gateway stops.
    Shutdown,
    /// The configuration has the server no more.
    ServerRemoved,
    /// The server is not well.
    ServerUnhealthy,
    /// What it came by, or its server, is drained by command.
    Command,
}

impl Cause {
    /// Who ended the tunnel: `client`, `server` or `gateway`.
    pub fn ended_by(self) -> &'static str {
        match self {
            Cause::Closed(side, _) | Cause::Vanished(side) | Cause::Violation(side, _) => side.label(),
            Cause::Drain(_) | Cause::Panic => "gateway",
        }
    }

    /// The kind of cause, one word of a fixed list, for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Closed(..) => "closed",
            Cause::Vanished(_) => "vanished",
            Cause::Violation(_, Violation::MessageTooBig { .. }) => "too_big",
            Cause::Violation(..) => "violation",
            Cause::Drain(Why::Shutdown) => "drain:shutdown",
            Cause::Drain(Why::ServerRemoved) => "drain:server_removed",
            Cause::Drain(Why::ServerUnhealthy) => "drain:server_unhealthy",
            Cause::Drain(Why::Command) => "drain:command",
            Cause::Panic => "panic",
        }
    }

    /// The Close frame that `to` is told with, and its code; `None` where only the end of the stream can tell.
    pub(super) fn farewell(self, to: Side, policy: &Policy) -> Option<(CloseSeen, CloseFrame)> {
        let (code, reason): (CloseCode, &dyn fmt::Display) = match self {
            // Its Close would be answered by the other side, which is gone: the answer repeats the code
            // (RFC 6455 5.5.1).
            Cause::Closed(by, Some(code)) if by == to => (code, &""),
            Cause::Closed(by, None) if by == to => {
                return Some((CloseSeen::Empty, CloseFrame::empty(mask(to))));
            }
            Cause::Closed(..) => (CloseCode::GOING_AWAY, &"the other side is gone"),
            Cause::Vanished(side) if side == to => return None,
            Cause::Vanished(Side::Server) => (policy.vanished_code, &"connection to the server lost"),
            Cause::Vanished(Side::Client) => (CloseCode::GOING_AWAY, &"connection to the client lost"),
            Cause::Violation(side, ref rule) if side == to => (rule.close_code(), rule),
            Cause::Violation(..) => (CloseCode::GOING_AWAY, &"the other side broke a rule"),
            Cause::Drain(why) if to == Side::Client => (policy.drain_code, &why.reason()),
            Cause::Drain(why) => (CloseCode::GOING_AWAY, &why.reason()),
            Cause::Panic => (CloseCode::INTERNAL_ERROR, &"fault in the gateway"),
        };
        Some((CloseSeen::Code(code), CloseFrame::new(code, &reason.to_string(), mask(to))))
    }

    /// Whether `to` is told last, behind what the other side still says, and not at the next frame border: before it
    /// broke the rule it may have asked what is being answered.
    pub(super) fn comes_last(self, to: Side) -> bool {
        matches!(self, Cause::Violation(by, _) if by == to)
    }
}

impl Why {
    fn reason(self) -> &'static str {
        match self {
            Why::Shutdown => "gateway stops",
            Why::ServerRemoved => "server removed",
            Why::ServerUnhealthy => "server not well",
            Why::Command => "drained",
        }
    }
}

impl fmt::Display for Cause {
    /// The cause as it stands in logs: the label, and the rule where one was broken.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Violation(_, rule) if self.label() == "violation" => {
                write!(f, "violation:{}", rule.label())
            }
            _ => f.write_str(self.label()),
        }
    }
}

/// Frames to a server are masked, with a key nobody can foresee (RFC 6455 5.3, 10.3).
fn mask(to: Side) -> Option<[u8; 4]> {
    let mut key = [0; 4];
    match to {
        Side::Client => None,
        // Without randomness the key stays zero: the frame is valid, and its payload is ours, not an attacker's.
        Side::Server => Some(getrandom::fill(&mut key).map_or(key, |()| key)),
    }
}
