//! Tests against the whole gateway, with peers on loopback.
#![allow(clippy::unwrap_used, reason = "a fault of the test's own surroundings ends the test")]

mod cli;
mod real;
mod config;
mod handshake;
mod layers;
mod tunnel;
