//! What a process costs, as the kernel counts it: CPU time and memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Clock ticks in a second, the unit of `/proc/PID/stat`: Linux shows 100 to programs whatever it uses itself.
const TICKS_PER_SECOND: u64 = 100;
/// Where user time stands in `/proc/PID/stat`, counted behind the name of the program; system time follows (`proc(5)`).
const USER_TIME: usize = 11;

/// A process of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

/// CPU time that each thread of a process has used, by thread id.
#[derive(Debug, Clone)]
pub struct Work(BTreeMap<u32, Duration>);

/// How busy the machine is: rates and latencies of a machine that others use tell of them, too.
///
/// # Errors
/// When the kernel does not say.
pub fn others_at_work() -> anyhow::Result<String> {
    let averages = fs::read_to_string("/proc/loadavg")?;
    Ok(format!("load average {}", averages.split(' ').next().unwrap_or_default()))
}

// === impl Process ===

impl Process {
    /// CPU time that it has used since its start, in steps of 10 ms: user and system, of all threads.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        let ticks = ticks(&stat).with_context(|| format!("the kernel says of {} only {stat:?}", self.0))?;
        Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
    }

    /// CPU time of its threads to the nanosecond, for figures of short rounds. Exact while nothing of it runs: of a
    /// thread at work the kernel knows the last milliseconds only when it looks. In steps of 10 ms on a kernel that does
    /// not count so exactly.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn work(self) -> anyhow::Result<Work> {
        let mut threads = BTreeMap::new();
        let folder = format!("/proc/{}/task", self.0);
        for thread in fs::read_dir(&folder).with_context(|| format!("{folder} cannot be read"))? {
            // A thread may end between its listing and this.
            let thread = thread?.file_name().into_string().unwrap_or_default();
            let read = self.read(&format!("task/{thread}/schedstat")).ok();
            let used = read.and_then(|used| used.split(' ').next()?.parse().ok());
            threads.extend(thread.parse().ok().zip(used.map(Duration::from_nanos)));
        }
        if threads.is_empty() {
            threads.insert(self.0, self.cpu()?);
        }
        Ok(Work(threads))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn resident(self) -> anyhow::Result<u64> {
        let status = self.read("status")?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.context("the kernel names no VmRSS")?.trim().trim_end_matches(" kB");
        Ok(kib.parse::<u64>()? * 1_024)
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
    }
}

// === impl Work ===

impl Work {
    /// CPU time since `before`. What a thread that has ended meanwhile did is lost.
    pub fn since(&self, before: &Self) -> Duration {
        let used = |(thread, &now): (&u32, &Duration)| {
            now.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(used).sum()
    }
}

/// User and system time in a line of `/proc/PID/stat`. The name of the program, in parentheses, may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(USER_TIME);
    let user = fields.next()?.parse::<u64>().ok()?;
    Some(user + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_parentheses() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 103 0 0 0 250 13 0 0 20 0 1 0 85628 3133440 362";
        assert_eq!(ticks(stat), Some(263));
    }

    #[test]
    fn work_shows_as_cpu_time_and_memory_is_counted() {
        let this = Process(std::process::id());
        let (before, began) = (this.cpu().unwrap(), Instant::now());
        while this.cpu().unwrap() == before {
            assert!(began.elapsed() < Duration::from_secs(30), "reading files for ever takes time");
        }
        assert!(this.resident().unwrap() > 1_024 * 1_024);
    }

    #[test]
    fn the_work_of_threads_is_counted_from_where_it_began() {
        let work = |threads: &[(u32, u64)]| {
            Work(threads.iter().map(|&(thread, ns)| (thread, Duration::from_nanos(ns))).collect())
        };
        let (before, after) = (work(&[(1, 100), (2, 70)]), work(&[(1, 130), (3, 5)]));
        assert_eq!(after.since(&before), Duration::from_nanos(35));
        let (this, began) = (Process(std::process::id()), Instant::now());
        let before = this.work().unwrap();
        while this.work().unwrap().since(&before).is_zero() {
            assert!(began.elapsed() < Duration::from_secs(30), "reading files for ever takes time");
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let fault = Process(u32::MAX).cpu().unwrap_err();
        assert!(fault.to_string().contains("/proc/4294967295/stat"), "{fault}");
    }
}
