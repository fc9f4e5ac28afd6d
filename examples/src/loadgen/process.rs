//! What a process costs, as the kernel counts it: CPU time and memory.

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
    fn a_process_that_is_not_there_is_named() {
        let fault = Process(u32::MAX).cpu().unwrap_err();
        assert!(fault.to_string().contains("/proc/4294967295/stat"), "{fault}");
    }
}
