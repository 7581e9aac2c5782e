//! Passive health: what is learnt from the handshakes and tunnels of clients.

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::{Failures, Percent, Window};
use super::{Diagnostic, Reader, Span};

/// How a server is found out that fails its clients, and for how long it is ejected: it gets no new connections then, and
/// keeps those it has.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Passive {
    /// After how many failures a server is ejected, 1 to 1000. Default: 5.
    pub failures: Failures,
    /// Within what time there must be so many, up to 24h. Default: 30s.
    pub within: Window,
    /// For how long it is ejected the first time, up to 24h. Then one handshake tries it: if it fails, it is ejected for
    /// twice as long as before, up to ten times this. Default: 30s.
    pub eject: Window,
    /// How many of the pool's servers may be ejected at once, in percent, rounded down. The last one that can be used never
    /// is. Default: 50%.
    pub max_ejected: Percent,
}

impl Default for Passive {
    fn default() -> Self {
        Passive {
            failures: Failures::new(5).expect("within its bounds"),
            within: Window::from_secs(30),
            eject: Window::from_secs(30),
            max_ejected: Percent::new(50).expect("within its bounds"),
        }
    }
}

impl Passive {
    /// Reports what is wrong with it, which stands at `at`.
    pub fn check(&self, reader: &Reader, at: Span) {
        for (name, window) in [("within", self.within), ("eject", self.eject)] {
            if window.get().is_zero() {
                reader.report(Diagnostic::error(format!("`{name}` cannot be 0")).at(at));
            }
        }
    }
}
