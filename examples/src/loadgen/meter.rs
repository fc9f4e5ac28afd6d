//! Counts of what a program does, where its time is noise: instructions by valgrind, system calls by strace.
//!
//! Both run a program from its start to its end, so what one request takes is the difference between two runs, divided
//! by the difference of their requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::process::Command;

/// Time for a tool to write what it counted after the program has ended, and pause between two looks.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// The name under which instructions are counted.
const INSTRUCTIONS: &str = "instructions";
/// How a line with the sum of all instructions begins in a file of callgrind's.
const TOTALS: &str = "totals: ";
/// The last word of strace's summary.
const TOTAL: &str = "total";
/// Where the number of calls stands in a line of strace's summary.
const CALLS: usize = 3;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    /// Instructions of the program itself; those of the kernel are not among them.
    Instructions,
    /// System calls.
    Syscalls,
}

/// How often what happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts(BTreeMap<String, f64>);

// === impl Meter ===

impl Meter {
    /// The program that counts.
    pub const fn tool(self) -> &'static str {
        match self {
            Self::Instructions => "valgrind",
            Self::Syscalls => "strace",
        }
    }

    /// Whether that program is there.
    pub async fn is_there(self) -> bool {
        let mut asking = Command::new(self.tool());
        asking.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asking.status().await.is_ok_and(|status| status.success())
    }

    /// Runs `program` with `arguments` and writes to `file` what it did, when it has ended. The process that is started
    /// is the program's own.
    pub fn command(self, file: &Path, program: &Path, arguments: &[String]) -> Command {
        let mut command = Command::new(self.tool());
        match self {
            Self::Instructions => {
                let mut out = std::ffi::OsString::from("--callgrind-out-file=");
                out.push(file);
                command.args(["-q", "--tool=callgrind"]).arg(out)
            }
            // -D: strace as a grandchild, so that signals reach the program and end both.
            Self::Syscalls => command.args(["-D", "-f", "-c", "-o"]).arg(file),
        };
        command.arg(program).args(arguments);
        command
    }

    /// What was written to `file` by a program that has ended.
    ///
    /// # Errors
    /// When nothing was.
    pub async fn read(self, file: &Path) -> anyhow::Result<Counts> {
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if let Some(counts) = self.counts(&text) {
                return Ok(counts);
            }
            ensure!(began.elapsed() < PATIENCE, "{} has counted nothing", self.tool());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The counts in a file that is written to its end.
    fn counts(self, text: &str) -> Option<Counts> {
        match self {
            Self::Instructions => {
                let total = text.lines().find_map(|line| line.strip_prefix(TOTALS))?.trim().parse().ok()?;
                Some(Counts(BTreeMap::from([(INSTRUCTIONS.to_owned(), total)])))
            }
            Self::Syscalls => {
                let rows = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
                let rows = rows.filter_map(|row| Some((*row.last()?, row.get(CALLS)?.parse().ok()?)));
                let mut counts =
                    rows.map(|(name, calls)| (name.to_owned(), calls)).collect::<BTreeMap<_, _>>();
                counts.remove(TOTAL).map(|_| Counts(counts))
            }
        }
    }
}

// === impl Counts ===

impl Counts {
    /// What each of `requests` took that were made beyond those of `fewer`.
    ///
    /// # Errors
    /// When there were no such requests.
    pub fn of_each(&self, fewer: &Self, requests: u64) -> anyhow::Result<Self> {
        ensure!(requests > 0, "nothing was done that could be counted");
        let names = self.0.keys().chain(fewer.0.keys());
        let count = |counts: &Self, name: &str| counts.0.get(name).copied().unwrap_or_default();
        let each = |name: &String| (count(self, name) - count(fewer, name)) / requests as f64;
        Ok(Self(names.map(|name| (name.clone(), each(name))).collect()))
    }

    /// All together.
    pub fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// The names of what happened more often than now and then, the most frequent first.
    pub fn names(&self) -> String {
        let mut often = self.0.iter().filter(|&(_, &count)| count >= 0.005).collect::<Vec<_>>();
        often.sort_by(|one, other| other.1.total_cmp(one.1));
        let words = often.iter().map(|(name, count)| format!("{count:.2} {name}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 35.55    0.000577         577         1           execve
 18.85    0.000306          10        30        13 openat
------ ----------- ----------- --------- --------- ----------------
100.00    0.000883          28        31        13 total
";

    fn syscalls(text: &str) -> Option<Counts> {
        Meter::Syscalls.counts(text)
    }

    #[test]
    fn system_calls_are_counted_by_their_names_with_and_without_errors() {
        let counts = syscalls(SUMMARY).unwrap();
        assert_eq!((counts.total(), counts.names().as_str()), (31.0, "30.00 openat, 1.00 execve"));
    }

    #[test]
    fn a_file_that_is_not_written_to_its_end_counts_nothing() {
        let cut = SUMMARY.rsplit_once("100.00").unwrap().0;
        assert_eq!((syscalls(cut), Meter::Instructions.counts("events: Ir\nfn=(1)\n")), (None, None));
    }

    #[test]
    fn a_request_took_what_the_longer_run_has_more() {
        let counts = |total| Meter::Instructions.counts(&format!("events: Ir\n\ntotals: {total}\n")).unwrap();
        let each = counts(5_000_000).of_each(&counts(1_000_000), 100).unwrap();
        assert_eq!(each.total(), 40_000.0);
        assert!(counts(1).of_each(&counts(1), 0).is_err());
    }
}
