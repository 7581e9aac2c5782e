//! What a process uses, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// A look at a process from outside.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The process.
    pub pid: u32,
}

impl Usage {
    /// The most memory it had resident since the last call of [`forget_peak`](Self::forget_peak), in KiB.
    pub fn peak_memory(self) -> usize {
        let status = fs::read_to_string(self.file("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Lets the peak be what is resident now.
    pub fn forget_peak(self) {
        fs::write(self.file("clear_refs"), "5").unwrap();
    }

    /// Descriptors it has open.
    pub fn descriptors(self) -> usize {
        fs::read_dir(self.file("fd")).unwrap().count()
    }

    /// The CPU time it has used, its own and the kernel's for it, in steps of 10 ms.
    pub fn cpu(self) -> Duration {
        let stat = fs::read_to_string(self.file("stat")).unwrap();
        // The name of the program, in parentheses, can hold anything; behind it utime and stime are fields 12 and 13
        // (proc(5)).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    fn file(self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
    }
}
