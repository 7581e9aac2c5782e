//! Peers that mean harm, beside a hundred good tunnels that keep their pace: `docs/security-testing.md` lists them with
//! their bounds.

mod descriptors;
mod handshakes;
mod memory;
mod siege;
mod tunnels;
