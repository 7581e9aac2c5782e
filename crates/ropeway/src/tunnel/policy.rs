//! What may happen on a tunnel.

use std::time::Duration;

use ws::CloseCode;

/// The rules a pool sets for its tunnels.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// Payload bytes on the wire that one message of a client may have; `u64::MAX` is no limit.
    pub max_client_message: u64,
    /// The same for messages of a server.
    pub max_server_message: u64,
    /// Text messages that are not UTF-8 end the tunnel (RFC 6455 8.1). Compressed ones are not looked into.
    pub validate_utf8: bool,
    /// Close code for a client whose server is lost without a Close frame.
    pub vanished_code: CloseCode,
    /// Close code for a client whose tunnel the gateway ends in good order.
    pub drain_code: CloseCode,
    /// How long a tunnel may take to end once its end has begun.
    pub close_timeout: Duration,
}

#[cfg(test)]
impl Policy {
    /// For tests of what does not depend on it.
    pub(crate) fn any() -> Self {
        Policy {
            max_client_message: 1,
            max_server_message: 1,
            validate_utf8: false,
            vanished_code: CloseCode::INTERNAL_ERROR,
            drain_code: CloseCode::GOING_AWAY,
            close_timeout: Duration::ZERO,
        }
    }
}
