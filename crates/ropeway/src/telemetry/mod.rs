//! What is told to the outside: metrics and logs.

pub mod access_log;
pub mod clock;
pub mod log;
mod metrics;

pub use metrics::{Live, Metrics, Traffic};
