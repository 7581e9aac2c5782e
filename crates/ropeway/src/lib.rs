//! Ropeway: a WebSocket-first gateway.
//!
//! The modules below are layers. A module uses those that stand below it, never one above it or beside it;
//! `tests/it/layers.rs` reads this list and keeps it true.
#![deny(unsafe_code)]

// layers: top uses bottom
pub mod cli;
pub mod app;
pub mod admin;
pub mod supervisor;
pub mod server;
pub mod pipeline;
pub mod filters;
pub mod context;
pub mod upstream;
pub mod tunnel;
pub mod net;
pub mod lifecycle;
pub mod fault;
pub mod telemetry;
pub mod spec;
