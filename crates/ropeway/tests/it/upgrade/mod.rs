//! The binary is upgraded under traffic.

mod program;
mod protocol;
mod soak;
