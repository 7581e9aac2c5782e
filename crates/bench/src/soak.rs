//! `ropeway-bench soak`: checked tunnels through a running gateway, while its user changes, drains or upgrades it.

use crate::fault::Fault;
use crate::{machine, wire};
use ::soak::{Backends, Plan, Target};
use clap::Args;
use rustls::ClientConfig;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Arguments of `ropeway-bench soak`.
#[derive(Args)]
pub(crate) struct SoakArgs {
    /// The gateway: ws://HOST:PORT/PATH or wss://HOST:PORT/PATH
    #[arg(long)]
    url: String,

    /// Where a backend of this command listens: the gateway must be set to forward there. Repeat it for several
    #[arg(long = "backend", value_name = "ADDR", required = true)]
    backends: Vec<SocketAddr>,

    /// Whom to trust for wss, as PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Tunnels that stay until the end
    #[arg(long, default_value_t = 1000)]
    tunnels: usize,

    /// Messages that each end of a tunnel sends in a second
    #[arg(long, default_value_t = 1.0)]
    rate: f64,

    /// The largest message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 10)]
    largest: usize,

    /// Tunnels that come and go beside the others in a second; 0 for none
    #[arg(long, default_value_t = 20.0)]
    churn: f64,

    /// How long it goes on; Ctrl-C ends it before, with the report
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// What is sent depends on this
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Prints what happened in the end, and how it goes every ten seconds.
///
/// # Errors
/// It cannot begin, or something was lost, altered, refused or closed.
pub(crate) fn run(args: &SoakArgs) -> Result<(), Fault> {
    machine::raise_descriptor_limit(2 * args.tunnels + 200)?;
    let interrupted = machine::interrupt_flag()?;
    let backends = Backends::listen(&args.backends).map_err(Fault::io("listen for the gateway"))?;
    let soak = backends.soak(target(args)?, plan(args)?).map_err(Fault::io("start"))?;
    let (began, mut told) = (Instant::now(), Instant::now());
    while began.elapsed() < Duration::from_secs(args.seconds) && !interrupted.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        if told.elapsed() >= TELL {
            told = Instant::now();
            eprintln!("after {} s:\n{}", began.elapsed().as_secs(), soak.report());
        }
    }
    let report = soak.finish();
    print!("{report}");
    if report.is_clean() { Ok(()) } else { Err(Fault::new("not everything came through: see above")) }
}

fn plan(args: &SoakArgs) -> Result<Plan, Fault> {
    let pace = |rate: f64, name: &str| {
        let interval = Duration::try_from_secs_f64(1.0 / rate);
        interval.map_err(|_| Fault::new(format!("--{name} must be more than 0")))
    };
    Ok(Plan {
        tunnels: args.tunnels,
        interval: pace(args.rate, "rate")?,
        largest: args.largest,
        churn: if args.churn == 0.0 { None } else { Some(pace(args.churn, "churn")?) },
        seed: args.seed,
    })
}

fn target(args: &SoakArgs) -> Result<Target, Fault> {
    let wrong =
        || Fault::new(format!("`{}` is no URL: write ws://HOST:PORT/PATH or wss://HOST:PORT/PATH", args.url));
    let (scheme, rest) = args.url.split_once("://").ok_or_else(wrong)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once(':').ok_or_else(wrong)?.0.to_owned();
    let tls = match (scheme, &args.ca) {
        ("ws", _) => None,
        ("wss", Some(file)) => Some(trusting(file)?),
        ("wss", None) => return Err(Fault::new("wss takes --ca FILE: whom to trust")),
        _ => return Err(wrong()),
    };
    let mut addresses = authority.to_socket_addrs().map_err(Fault::io(authority))?;
    let address = addresses.next().ok_or_else(wrong)?;
    Ok(Target { address, host, path: if path.is_empty() { "/".into() } else { path.to_owned() }, tls })
}

fn trusting(file: &Path) -> Result<Arc<ClientConfig>, Fault> {
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(wire::roots(file)?).with_no_client_auth()))
}

const TELL: Duration = Duration::from_secs(10);
