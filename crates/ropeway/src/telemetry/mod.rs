//! What is told to the outside: metrics and logs.

pub mod log;
mod metrics;

pub use metrics::{Live, Metrics, Traffic};
