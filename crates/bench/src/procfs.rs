//! CPU time and memory of a proxy, read from `/proc`.

use crate::fault::Fault;
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// A process and all that descend from it: nginx and HAProxy work in children.
pub(crate) struct Processes {
    pids: Vec<u32>,
}

/// CPU time used so far.
pub(crate) struct CpuReading {
    /// Nanoseconds of each living thread.
    threads: HashMap<u32, u64>,
    /// The same for whole processes with their ended threads, but in ticks of mostly 10 ms.
    coarse: Duration,
}

/// Bytes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident pages, shared ones counted in each process (RSS).
    pub(crate) resident: u64,
    /// Resident pages, shared ones divided among those that share them (PSS).
    pub(crate) proportional: u64,
}

impl Processes {
    /// The processes `roots` and those that descend from them at this moment.
    ///
    /// # Errors
    /// When one of `roots` does not run.
    pub(crate) fn tree(roots: &[u32]) -> Result<Processes, Fault> {
        for pid in roots {
            read(&format!("/proc/{pid}/stat"))?;
        }
        let parents = parents()?;
        let mut pids = roots.to_vec();
        let mut next = 0;
        while let Some(&parent) = pids.get(next) {
            let children = parents.iter().filter(|&&(pid, of)| of == parent && !pids.contains(&pid));
            let children: Vec<u32> = children.map(|&(pid, _)| pid).collect();
            pids.extend(children);
            next += 1;
        }
        Ok(Processes { pids })
    }

    /// The roots first, then their descendants.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// CPU time of all of them up to now.
    ///
    /// # Errors
    /// When one of them has ended.
    pub(crate) fn cpu(&self) -> Result<CpuReading, Fault> {
        let mut threads = HashMap::new();
        let mut ticks = 0;
        for pid in &self.pids {
            ticks +=
                stat_ticks(&read(&format!("/proc/{pid}/stat"))?).ok_or_else(|| unreadable(*pid, "stat"))?;
            for tid in numbered(&format!("/proc/{pid}/task"))? {
                // A thread may end between the listing and the reading.
                let Ok(schedstat) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")) else {
                    continue;
                };
                threads.insert(tid, first_number(&schedstat).ok_or_else(|| unreadable(*pid, "schedstat"))?);
            }
        }
        let coarse = Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
        Ok(CpuReading { threads, coarse })
    }

    /// Memory of all of them.
    ///
    /// # Errors
    /// When one of them has ended.
    pub(crate) fn memory(&self) -> Result<Memory, Fault> {
        let mut sum = Memory { resident: 0, proportional: 0 };
        for pid in &self.pids {
            let rollup = read(&format!("/proc/{pid}/smaps_rollup"))?;
            let field = |name| kib_field(&rollup, name).ok_or_else(|| unreadable(*pid, "smaps_rollup"));
            sum.resident += field("Rss:")?;
            sum.proportional += field("Pss:")?;
        }
        Ok(sum)
    }
}

impl CpuReading {
    /// The CPU time used since `before`: exact while no thread has ended since, else in ticks.
    pub(crate) fn since(&self, before: &CpuReading) -> Duration {
        if before.threads.keys().any(|tid| !self.threads.contains_key(tid)) {
            return self.coarse.saturating_sub(before.coarse);
        }
        let used =
            |(tid, now): (&u32, &u64)| now.saturating_sub(before.threads.get(tid).copied().unwrap_or(0));
        Duration::from_nanos(self.threads.iter().map(used).sum())
    }
}

/// How long this thread has waited so far while others had its CPU.
pub(crate) fn own_wait() -> Result<Duration, Fault> {
    let schedstat = read("/proc/thread-self/schedstat")?;
    let wait = schedstat.split_whitespace().nth(1).and_then(|wait| wait.parse().ok());
    wait.map(Duration::from_nanos).ok_or_else(|| unreadable(std::process::id(), "schedstat"))
}

/// Every process and its parent.
fn parents() -> Result<Vec<(u32, u32)>, Fault> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, stat_fields(&stat)?.nth(1)?.parse().ok()?))
    };
    Ok(numbered("/proc")?.into_iter().filter_map(parent).collect())
}

/// The fields of a `stat` line from the third, the state, on. The name before it may hold blanks and brackets.
fn stat_fields(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// utime + stime, fields 14 and 15.
fn stat_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat_fields(stat)?.skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// A line like `Rss:    1848 kB`, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    Some(first_number(text.lines().find_map(|line| line.strip_prefix(name))?)? * 1024)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The entries of a directory whose names are numbers.
fn numbered(directory: &str) -> Result<Vec<u32>, Fault> {
    let entries = fs::read_dir(directory).map_err(Fault::io(directory))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

fn read(path: &str) -> Result<String, Fault> {
    fs::read_to_string(path).map_err(Fault::io(format!("{path}: does the proxy still run?")))
}

fn unreadable(pid: u32, file: &str) -> Fault {
    Fault::new(format!("/proc/{pid}/{file} does not read as expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_brackets() {
        let stat = "77 (a) b (c)) S 12 77 77 0 -1 0 1 2 3 4 250 31 0 0 20 0 1 0 5";
        assert_eq!(stat_fields(stat).unwrap().nth(1), Some("12"));
        assert_eq!(stat_ticks(stat), Some(281));
        assert_eq!(kib_field("Rss:    1848 kB\nPss:  456 kB\n", "Pss:"), Some(456 * 1024));
    }

    #[test]
    fn own_cpu_time_grows_with_work() {
        // Without the children that other tests start and end.
        let own = Processes { pids: vec![std::process::id()] };
        let before = own.cpu().unwrap();
        // A running thread's figure is brought up to date by the scheduler only.
        while own.cpu().unwrap().since(&before) < Duration::from_millis(1) {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
        let memory = own.memory().unwrap();
        assert!(memory.proportional > 0 && memory.resident > memory.proportional);
    }

    #[test]
    fn a_child_belongs_to_the_tree() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let tree = Processes::tree(&[std::process::id()]).unwrap();
        assert!(tree.pids().contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(Processes::tree(&[child.id()]).is_err());
    }

    #[test]
    fn an_ended_thread_falls_back_to_ticks() {
        let reading = |threads: &[(u32, u64)], seconds| CpuReading {
            threads: threads.iter().copied().collect(),
            coarse: Duration::from_secs(seconds),
        };
        let before = reading(&[(1, 100), (2, 50)], 1);
        assert_eq!(reading(&[(1, 300), (2, 50), (3, 5)], 4).since(&before), Duration::from_nanos(205));
        assert_eq!(reading(&[(1, 300)], 4).since(&before), Duration::from_secs(3));
    }
}
