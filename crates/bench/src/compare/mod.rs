//! `ropeway-bench compare`: the gateway beside its peers, in one run.

mod peers;
mod proxy;
mod table;

use crate::fault::Fault;
use crate::load::{Load, Target};
use crate::machine;
use crate::measure::{self, Outcome, Timing};
use crate::shape::Case;
use crate::wire;
use clap::Args;
use peers::Contender;
use proxy::{Directory, Proxy};
use rustls::ClientConfig;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Arguments of `ropeway-bench compare`.
#[derive(Args)]
pub(crate) struct CompareArgs {
    /// The gateway's binary
    #[arg(long, value_name = "PATH", default_value = "target/release/ropeway")]
    ropeway: PathBuf,

    /// A configuration for the gateway instead of bench/peers/ropeway.yaml, with its placeholders
    #[arg(long, value_name = "FILE")]
    ropeway_config: Option<PathBuf>,

    /// Where bench/setup put the peers that come from PyPI
    #[arg(long, value_name = "DIR", default_value = "bench/.venv")]
    venv: PathBuf,

    /// Only these, with commas between them: ropeway, nginx, haproxy, envoy, traefik, caddy, raw
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,

    /// Shapes of load, with commas between them
    #[arg(long, value_name = "SHAPES", value_delimiter = ',', default_value = crate::shape::DEFAULT)]
    shapes: Vec<Case>,

    /// How often each shape is measured with each proxy; a figure to publish takes at least 9
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// The CPU of the clients and the backend [default: the first]
    #[arg(long, value_name = "CPU")]
    load_cpu: Option<usize>,

    /// The CPU of the proxy that is measured [default: the second]
    #[arg(long, value_name = "CPU")]
    proxy_cpu: Option<usize>,

    #[command(flatten)]
    timing: Timing,
}

/// What stays the same for every measurement of a comparison.
struct Setting {
    timing: Timing,
    load_cpu: usize,
    proxy_cpu: usize,
    directory: Directory,
    tls: Arc<ClientConfig>,
    interrupted: Arc<AtomicBool>,
}

/// What one contender brought in one round.
struct Record {
    case: Case,
    contender: &'static str,
    outcome: Outcome,
}

/// Measures everything, then prints one table. Stops at the first contender that fails, loses or alters a message:
/// figures beside a broken one would compare nothing.
pub(crate) fn run(args: &CompareArgs) -> Result<(), Fault> {
    machine::raise_descriptor_limit(measure::descriptors(&args.shapes))?;
    let setting = setting(args)?;
    let contenders = peers::find(args)?;
    let mut records = Vec::new();
    for round in 1..=args.rounds {
        for &case in &args.shapes {
            for contender in turns(&contenders, round).filter(|contender| contender.can(&case)) {
                let outcome = one(&setting, contender, &case)
                    .map_err(|fault| fault.of(format!("no comparison: {}, {case}", contender.name)))?;
                eprintln!("round {round}/{}, {case}, {}: {outcome}", args.rounds, contender.name);
                records.push(Record { case, contender: contender.name, outcome });
            }
        }
    }
    print!("{}", table::render(&contenders, &args.shapes, args.rounds, &records));
    Ok(())
}

fn setting(args: &CompareArgs) -> Result<Setting, Fault> {
    let (load_cpu, proxy_cpu) = (machine::cpu(args.load_cpu, 0)?, machine::cpu(args.proxy_cpu, 1)?);
    if load_cpu == proxy_cpu {
        return Err(Fault::new("the load and the proxy need a CPU each: choose another --proxy-cpu"));
    }
    let (directory, interrupted) = (Directory::create()?, machine::interrupt_flag()?);
    let tls = wire::client_config(&directory.certify()?)?;
    Ok(Setting { timing: args.timing, load_cpu, proxy_cpu, directory, tls, interrupted })
}

/// All contenders, each round beginning with another one, so that none always follows the same.
fn turns(contenders: &[Contender], round: usize) -> impl Iterator<Item = &Contender> {
    contenders.iter().cycle().skip(round - 1).take(contenders.len())
}

/// One case with one freshly started proxy.
fn one(setting: &Setting, contender: &Contender, case: &Case) -> Result<Outcome, Fault> {
    let address = free_address()?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let shape = &case.shape;
    let target = Target {
        proxy: address,
        path: "/ws",
        backend: any_port,
        size: shape.size(),
        is_http: shape.is_http(),
        tls: case.tls.then(|| setting.tls.clone()),
    };
    let mut load = Load::new(&target, setting.timing.spin, &setting.interrupted)?;

    machine::pin(setting.proxy_cpu)?; // what is started now inherits it
    let proxy = Proxy::start(contender, address, load.backend()?, case.tls, &setting.directory);
    machine::pin(setting.load_cpu)?;
    let mut proxy = proxy?;

    wait_until_ready(&mut load, &mut proxy)?;
    measure::measure(shape, &mut load, &[proxy.pid()], &setting.timing).map_err(|fault| proxy.explain(fault))
}

/// Tries until one tunnel works.
fn wait_until_ready(load: &mut Load, proxy: &mut Proxy) -> Result<(), Fault> {
    let deadline = Instant::now() + START;
    loop {
        let result = load.open(1);
        load.clear();
        match result {
            Ok(()) => return Ok(()),
            Err(Fault::Interrupted) => return Err(Fault::Interrupted),
            Err(fault) if Instant::now() > deadline || proxy.has_ended() => {
                return Err(proxy.explain(fault.of("it did not start")));
            }
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr, Fault> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Fault::io("find a free port"))
}

/// How long a proxy may take to start.
const START: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(20);
