//! Tests against the whole gateway, with peers on loopback.
#![allow(clippy::unwrap_used, reason = "a fault of the test's own surroundings ends the test")]

mod balance;
mod cli;
mod config;
mod conformance;
mod control;
mod docs;
mod filters;
mod fuzz;
mod handshake;
mod health;
mod hostile;
mod http;
mod layers;
mod moving;
mod reach;
mod real;
mod reload;
mod tls;
mod tunnel;
mod upgrade;
