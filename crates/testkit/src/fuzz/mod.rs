//! What a fuzzer calls: each function takes any bytes and panics where a promise is broken.
//!
//! `fuzz/` feeds them to libFuzzer; `tests/it/fuzz.rs` runs them under stable Rust.

mod frozen;
mod handshake;
mod head;
mod inspector;
mod proxy_protocol;
mod yaml;

pub use frozen::frozen;
pub use handshake::handshake;
pub use head::head;
pub use inspector::inspector;
pub use proxy_protocol::proxy_protocol;
pub use yaml::yaml;

use crate::simulation::{self, Choices};

/// An entry point.
pub type Target = fn(&[u8]);

/// All of them, with their names.
pub const TARGETS: [(&str, Target); 8] = [
    ("inspector", inspector),
    ("head", head),
    ("handshake", handshake),
    ("proxy_protocol", proxy_protocol),
    ("yaml", yaml),
    ("relay", relay),
    ("moving", moving),
    ("frozen", frozen),
];

/// A tunnel whose streams do what the bytes say: see [`simulation`].
pub fn relay(data: &[u8]) {
    simulation::run(&Choices::new(data));
}

/// The same with a tunnel that goes on in another process now and then.
pub fn moving(data: &[u8]) {
    simulation::run_moving(&Choices::new(data));
}
