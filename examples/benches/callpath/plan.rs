//! How much is measured and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;

use crate::subject::{SUBJECTS, Subject};

/// How to get a profile that says something.
const PROFILES: &str = "\
Programs are built without symbols. A profile that names functions wants a sidecar that has them:
  CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \\
    cargo build --release --package mesh-sidecar --target-dir target/symbols
  cargo callpath --counts-only --profile \"$PWD/callgrind.out\" --sidecar \"$PWD/target/symbols/release/mesh-sidecar\"
  callgrind_annotate --inclusive=yes callgrind.out
It holds the start of the sidecar and all calls that were counted; divide by their number, which is said.";

/// Measures a call through the sidecar beside the thinnest proxy: CPU, latency, memory, instructions, system calls.
#[derive(Debug, clap::Parser)]
#[command(name = "callpath", after_help = PROFILES)]
pub(crate) struct Flags {
    /// Fewer and shorter rounds: half a minute rather than two.
    #[arg(long)]
    quick: bool,
    /// Connections that ask.
    #[arg(long, value_name = "N", default_value_t = 8)]
    connections: usize,
    /// Requests in each second when latencies are taken, each timed from when it is due.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds at that rate in each round.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Rounds; the table shows medians.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Instructions and system calls alone, without load.
    #[arg(long)]
    counts_only: bool,
    /// Only these ways through the sidecar.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// Keep what callgrind wrote about the last of the ways through the sidecar.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Another sidecar than the one of these sources, to compare the two.
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    /// What `cargo bench` passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The registry.
    pub(crate) registry: PathBuf,
    /// The sidecar.
    pub(crate) sidecar: PathBuf,
    /// Who is asked; the upstream and the thin proxy are among them.
    pub(crate) subjects: Vec<&'static Subject>,
    /// Connections that ask.
    pub(crate) connections: usize,
    /// Rounds; the table shows medians, and nothing when there are none.
    pub(crate) rounds: usize,
    /// Time of each subject in a round, asked as fast as it answers.
    pub(crate) round: Duration,
    /// Requests in each second at the fixed rate.
    pub(crate) rate: f64,
    /// Time of each subject in a round at that rate.
    pub(crate) steady: Duration,
    /// Requests of the two runs from whose difference instructions and system calls are known.
    pub(crate) counted: (u64, u64),
    /// Where the profile is kept, if one is wanted.
    pub(crate) profile: Option<PathBuf>,
}

impl Flags {
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        let is_wanted = |subject: &&Subject| {
            !subject.is_ours() || self.only.is_empty() || self.only.iter().any(|name| name == subject.name)
        };
        let (rounds, round, steady) = if self.quick { (3, 500, 0.5) } else { (7, 1_000, 1.0) };
        let built = PathBuf::from(env!("CARGO_BIN_EXE_sidecar-under-load"));
        Ok(Plan {
            registry: PathBuf::from(env!("CARGO_BIN_EXE_registry-under-load")),
            sidecar: self.sidecar.clone().unwrap_or(built),
            subjects: SUBJECTS.iter().filter(is_wanted).collect(),
            connections: self.connections,
            rounds: if self.counts_only { 0 } else { self.rounds.unwrap_or(rounds) },
            round: Duration::from_millis(round),
            rate: f64::from(self.rate),
            steady: Duration::try_from_secs_f64(self.seconds.unwrap_or(steady))?,
            counted: if self.quick { (100, 600) } else { (500, 2_500) },
            profile: self.profile.clone(),
        })
    }
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(SUBJECTS.iter().filter(|subject| subject.is_ours()).map(|subject| subject.name))
}
