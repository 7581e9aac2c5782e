//! What a connection's keys are made of, so that it can go on in another process.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::KeyLog;
use zeroize::Zeroizing;

/// The first traffic secrets of both sides of one TLS 1.3 connection (RFC 8446 7.1): the keys of all its records follow
/// from them. rustls tells them to a key log only. They stay in memory, which is overwritten behind them.
#[derive(Default)]
pub struct Secrets {
    client: OnceLock<Secret>,
    server: OnceLock<Secret>,
}

/// As many bytes as the hash of the cipher suite has.
type Secret = Zeroizing<Vec<u8>>;

const CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER: &str = "SERVER_TRAFFIC_SECRET_0";

impl Secrets {
    /// None yet: to be given to one connection as its key log.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The client's and the server's, if TLS 1.3 is spoken and its handshake is done.
    pub fn of_both(&self) -> Option<[&[u8]; 2]> {
        Some([self.client.get()?, self.server.get()?])
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let cell = match label {
            CLIENT => &self.client,
            SERVER => &self.server,
            _ => return,
        };
        let _ = cell.set(Zeroizing::new(secret.to_vec()));
    }

    fn will_log(&self, label: &str) -> bool {
        [CLIENT, SERVER].contains(&label)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}
