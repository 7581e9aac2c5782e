//! `ropeway-bench`: what a WebSocket proxy costs in CPU time, memory and latency, and how that compares.
//!
//! One process holds both the clients and the echo backend, so that the proxy is the only other process of a
//! measurement; it runs on a CPU of its own, and the proxy's CPU time is read from `/proc`.

mod client;
mod compare;
mod echo;
mod fault;
mod icount;
mod load;
mod machine;
mod measure;
mod messages;
mod procfs;
mod relay;
mod shape;
mod soak;
mod stats;
mod wire;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures what a WebSocket proxy costs: CPU time per round trip, memory per tunnel, latency.
#[derive(Parser)]
#[command(name = "ropeway-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put load on one running proxy and print what it cost
    Load(measure::LoadArgs),
    /// Start the gateway and its peers one after the other, in interleaved rounds, and print a table of ratios
    Compare(compare::CompareArgs),
    /// Check every message on thousands of tunnels through a running gateway, for as long as you like
    Soak(soak::SoakArgs),
    /// Relay bytes without looking at them: the floor that any proxy is measured against
    Relay(relay::RelayArgs),
    /// Do work without I/O a number of times, for bench/icount to count its instructions
    Icount(icount::IcountArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Load(args) => measure::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Icount(args) => icount::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::from(fault.exit_code())
        }
    }
}
