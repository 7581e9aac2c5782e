//! Tests of the gateway from outside.
#![allow(clippy::unwrap_used, reason = "tests")]

mod config;
