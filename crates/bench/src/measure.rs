//! One shape of load against one proxy, and what that cost.

use crate::fault::Fault;
use crate::load::{Load, Target};
use crate::machine;
use crate::procfs::{self, Memory, Processes};
use crate::shape::{Case, Metric, Shape};
use crate::stats::quantile;
use crate::wire;
use clap::Args;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Arguments of `ropeway-bench load`.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Where the proxy listens
    #[arg(long, value_name = "ADDR")]
    proxy: SocketAddr,

    /// The path that the proxy forwards to the backend
    #[arg(long, default_value = "/ws")]
    path: String,

    /// A process of the proxy; its descendants count with it. Repeat it for several
    #[arg(long = "pid", value_name = "PID", required = true)]
    pids: Vec<u32>,

    /// Where the echo backend of this command listens: the proxy must be set to forward there
    #[arg(long, value_name = "ADDR")]
    backend: SocketAddr,

    /// Shapes of load, with commas between them
    #[arg(long, value_name = "SHAPES", value_delimiter = ',', default_value = crate::shape::TUNNELS)]
    shapes: Vec<Case>,

    /// Who signed the proxy's certificate for `localhost`, where shapes have `tls:`
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// How often each shape is measured
    #[arg(long, default_value_t = 1)]
    rounds: usize,

    /// The CPU that this command runs on; the proxy should be on another one [default: the first]
    #[arg(long)]
    cpu: Option<usize>,

    #[command(flatten)]
    timing: Timing,
}

/// How long things take.
#[derive(Args, Clone, Copy)]
pub(crate) struct Timing {
    /// Seconds of load before each measurement
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_seconds)]
    warmup: Duration,

    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value = "2.5", value_parser = parse_seconds)]
    seconds: Duration,

    /// Seconds without load before memory is read
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    settle: Duration,

    /// Look for events without ever sleeping: latencies are then the proxy's alone
    #[arg(long)]
    pub(crate) spin: bool,
}

/// What one measurement brought.
pub(crate) enum Outcome {
    /// Of messages or of handshakes.
    Traffic(Traffic),
    /// Of tunnels that just stay: resident and proportional bytes that each of them adds.
    Idle { tunnels: usize, resident: f64, proportional: f64 },
}

/// What a proxy did and used in a stretch of time.
pub(crate) struct Traffic {
    /// Round trips or handshakes.
    operations: u64,
    elapsed: Duration,
    /// How long the load waited for its CPU, because something else ran there.
    disturbed: Duration,
    /// CPU time of the proxy.
    cpu: Duration,
    /// Of each operation, in nanoseconds.
    p50: u32,
    p99: u32,
    memory: Memory,
}

/// `ropeway-bench load`.
pub(crate) fn run(args: &LoadArgs) -> Result<(), Fault> {
    let interrupted = machine::interrupt_flag()?;
    machine::raise_descriptor_limit(descriptors(&args.shapes))?;
    machine::pin(machine::cpu(args.cpu, 0)?)?;
    for case in &args.shapes {
        let shape = &case.shape;
        let tls = match (&args.ca, case.tls) {
            (Some(authority), true) => Some(wire::client_config(authority)?),
            (None, true) => return Err(Fault::new(format!("{case} needs --ca"))),
            (_, false) => None,
        };
        let target = Target {
            proxy: args.proxy,
            path: &args.path,
            backend: args.backend,
            size: shape.size(),
            is_http: shape.is_http(),
            tls,
        };
        let mut load = Load::new(&target, args.timing.spin, &interrupted)?;
        for _ in 0..args.rounds {
            let outcome =
                measure(shape, &mut load, &args.pids, &args.timing).map_err(|fault| fault.of(case))?;
            println!("{case}: {outcome}");
        }
    }
    Ok(())
}

/// How many descriptors the largest of these shapes takes: a client's and the backend's for each tunnel.
pub(crate) fn descriptors(cases: &[Case]) -> usize {
    cases.iter().map(|case| 2 * case.shape.connections() + 50).max().unwrap_or_default()
}

/// Measures one shape once, on tunnels of its own.
///
/// # Errors
/// When the proxy fails, or a message is lost or altered: then there is no figure.
pub(crate) fn measure(
    shape: &Shape,
    load: &mut Load,
    pids: &[u32],
    timing: &Timing,
) -> Result<Outcome, Fault> {
    let processes = Processes::tree(pids)?;
    let outcome = match *shape {
        Shape::Echo { connections, in_flight, .. } => echo(load, &processes, timing, connections, in_flight),
        Shape::Http { connections } => echo(load, &processes, timing, connections, 1),
        Shape::Latency { .. } => echo(load, &processes, timing, 1, 1),
        Shape::Handshakes { parallel } => handshakes(load, &processes, timing, parallel),
        Shape::Idle { from, to } => idle(load, &processes, timing, from, to),
    }?;
    load.clear();
    Ok(outcome)
}

impl Outcome {
    /// The figure in the metric's unit, where this kind of measurement has one.
    pub(crate) fn figure(&self, metric: Metric) -> Option<f64> {
        match (self, metric) {
            (Outcome::Traffic(traffic), Metric::Cpu) => Some(traffic.cpu_micros()),
            (Outcome::Traffic(traffic), Metric::LatencyP50) => Some(f64::from(traffic.p50) / 1e3),
            (Outcome::Traffic(traffic), Metric::LatencyP99) => Some(f64::from(traffic.p99) / 1e3),
            (Outcome::Idle { resident, .. }, Metric::Memory) => Some(resident / 1024.0),
            _ => None,
        }
    }

    /// The share of the time (0.0 to 1.0) in which something else had the CPU of the load.
    pub(crate) fn disturbance(&self) -> f64 {
        match self {
            Outcome::Traffic(traffic) => traffic.disturbed.as_secs_f64() / traffic.elapsed.as_secs_f64(),
            Outcome::Idle { .. } => 0.0,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Traffic(traffic) => write!(f, "{traffic}, disturbed {:.0}%", self.disturbance() * 100.0),
            Outcome::Idle { tunnels, resident, proportional } => write!(
                f,
                "{:.2} KiB resident ({:.2} proportional) for each of {tunnels} further tunnels",
                resident / 1024.0,
                proportional / 1024.0
            ),
        }
    }
}

impl Traffic {
    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        write!(
            f,
            "{:.2} µs CPU each, {:.0}/s, p50 {:.1} µs, p99 {:.1} µs, proxy busy {:.0}%, {:.1} MiB resident",
            self.cpu_micros(),
            self.operations as f64 / seconds,
            f64::from(self.p50) / 1e3,
            f64::from(self.p99) / 1e3,
            self.cpu.as_secs_f64() / seconds * 100.0,
            self.memory.resident as f64 / f64::from(1 << 20)
        )
    }
}

fn echo(
    load: &mut Load,
    processes: &Processes,
    timing: &Timing,
    connections: usize,
    in_flight: usize,
) -> Result<Outcome, Fault> {
    load.open(connections)?;
    load.start(in_flight)?;
    let traffic = watch(load, processes, timing)?;
    load.drain()?;
    Ok(Outcome::Traffic(traffic))
}

fn handshakes(
    load: &mut Load,
    processes: &Processes,
    timing: &Timing,
    parallel: usize,
) -> Result<Outcome, Fault> {
    load.cycle(parallel)?;
    let traffic = watch(load, processes, timing)?;
    load.finish_cycle()?;
    Ok(Outcome::Traffic(traffic))
}

/// Warms up, then reads the proxy's CPU time around a stretch of running load.
fn watch(load: &mut Load, processes: &Processes, timing: &Timing) -> Result<Traffic, Fault> {
    load.run_for(timing.warmup)?;
    let (tally_before, waited_before) = (load.tally(), procfs::own_wait()?);
    let (cpu_before, began) = (processes.cpu()?, Instant::now());
    load.take_latencies();
    load.run_for(timing.seconds)?;
    let (tally, cpu, elapsed) = (load.tally(), processes.cpu()?.since(&cpu_before), began.elapsed());
    let disturbed = procfs::own_wait()?.saturating_sub(waited_before);
    let mut latencies = load.take_latencies();
    latencies.sort_unstable();
    let operations = tally.operations_since(&tally_before);
    if operations == 0 {
        return Err(Fault::new("nothing was finished in the time measured: take more --seconds"));
    }
    let (p50, p99) = (quantile(&latencies, 0.5), quantile(&latencies, 0.99));
    Ok(Traffic { operations, elapsed, disturbed, cpu, p50, p99, memory: processes.memory()? })
}

fn idle(
    load: &mut Load,
    processes: &Processes,
    timing: &Timing,
    from: usize,
    to: usize,
) -> Result<Outcome, Fault> {
    load.open(from)?;
    load.run_for(timing.settle)?;
    let before = processes.memory()?;
    load.open(to)?;
    load.run_for(timing.settle)?;
    let after = processes.memory()?;
    // Tunnels that hold no memory because they are dead do not count.
    load.start(1)?;
    load.drain()?;
    let each = |after: u64, before: u64| (after as f64 - before as f64) / (to - from) as f64;
    Ok(Outcome::Idle {
        tunnels: to - from,
        resident: each(after.resident, before.resident),
        proportional: each(after.proportional, before.proportional),
    })
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
