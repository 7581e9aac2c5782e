//! The binary is upgraded under traffic.

mod descriptors;
mod predecessor;
mod program;
mod protocol;
mod soak;
