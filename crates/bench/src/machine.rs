//! What the measurement needs of the machine: a CPU, descriptors, and a word when the user stops it.

use crate::fault::Fault;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Binds this thread, and every process that it starts from now on, to one CPU.
///
/// # Errors
/// When this machine, or this process, has no such CPU.
pub(crate) fn pin(cpu: usize) -> Result<(), Fault> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(Fault::new(format!("there is no CPU {cpu}")));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|error| {
        Fault::new(format!("cannot run on CPU {cpu} ({error}): choose CPUs that this process may use"))
    })
}

/// The CPU that the user chose, else the `nth` of those that this process may use. Call it before [`pin`].
///
/// # Errors
/// When there are not so many.
pub(crate) fn cpu(chosen: Option<usize>, nth: usize) -> Result<usize, Fault> {
    let allowed = sched_getaffinity(None).map_err(|error| Fault::io("ask for the CPUs")(error.into()))?;
    let nth_allowed = || (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).nth(nth);
    chosen.or_else(nth_allowed).ok_or_else(|| Fault::new(format!("this takes {} CPUs", nth + 1)))
}

/// Takes as many descriptors as the system lets this process have; children inherit that.
///
/// # Errors
/// When `needed` are more than that.
pub(crate) fn raise_descriptor_limit(needed: usize) -> Result<(), Fault> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A refusal leaves the limit as it was, and the comparison below tells what that means.
    let _ = setrlimit(Resource::Nofile, limit);
    match getrlimit(Resource::Nofile).current {
        Some(current) if current < needed as u64 => Err(Fault::new(format!(
            "this takes {needed} descriptors, and the limit is {current}: raise it, or take fewer tunnels"
        ))),
        _ => Ok(()),
    }
}

/// A flag that the first SIGINT or SIGTERM sets, so that everything that was started can still be stopped.
pub(crate) fn interrupt_flag() -> Result<Arc<AtomicBool>, Fault> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(Fault::io("watch for signals"))?;
    }
    Ok(flag)
}

/// The processor and the kernel, for the head of a table.
pub(crate) fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let models: Vec<&str> = cpuinfo
        .lines()
        .filter(|line| line.starts_with("model name"))
        .filter_map(|line| line.split_once(':'))
        .map(|(_, model)| model.trim())
        .collect();
    let model = models.first().unwrap_or(&"unknown processor");
    format!("{} x {model}, Linux {}", models.len(), read("/proc/sys/kernel/osrelease").trim())
}
