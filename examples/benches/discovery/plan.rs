//! How much is measured and for how long.

use std::path::PathBuf;
use std::time::Duration;

use mesh_examples::loadgen::fleet::Fleet;
use mesh_examples::loadgen::question::Class;

/// Capabilities of each agent.
const CAPABILITIES: u16 = 3;
/// A fleet of a million, for `--million`.
const MILLION: usize = 1_000_000;

/// Measures discovery over fleets of 1,000, 10,000 and 100,000 agents, and what else a registry must carry.
#[derive(Debug, clap::Parser)]
#[command(name = "discovery")]
pub(crate) struct Flags {
    /// Smaller fleets and shorter rounds: a minute rather than six.
    #[arg(long)]
    quick: bool,
    /// Also a fleet of 1,000,000 agents, from a file: loads, serves, fits. Takes several minutes more.
    #[arg(long, env = "MESH_BENCH_MILLION")]
    million: bool,
    /// Another registry than the one of these sources, to compare the two.
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Sizes of the fleets, instead of the usual ones.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    agents: Vec<usize>,
    /// Discovery alone, without the other figures.
    #[arg(long)]
    discovery_only: bool,
    /// What `cargo bench` passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The registry.
    pub(crate) registry: PathBuf,
    /// Sizes of the fleets.
    pub(crate) sizes: Vec<usize>,
    /// Rounds of each class; the table shows medians.
    pub(crate) rounds: usize,
    /// Time of a round at each of the two servers.
    pub(crate) round: Duration,
    /// Time at a fixed rate.
    pub(crate) steady: Duration,
    /// Time in which only heartbeats arrive.
    pub(crate) heartbeats: Duration,
    /// The fleet whose heartbeats, memory and cold start are measured.
    pub(crate) large: usize,
    /// Starts of a registry that has a fleet on its disk.
    pub(crate) starts: usize,
    /// Idle streams that watch.
    pub(crate) watchers: usize,
    /// Whether more is measured than discovery.
    pub(crate) is_whole: bool,
    /// Agents of the largest fleet, if it is wanted.
    pub(crate) million: Option<usize>,
}

impl Flags {
    pub(crate) fn plan(&self) -> Plan {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_registry-under-load"));
        let registry = self.registry.clone().unwrap_or(built);
        let million = self.million.then_some(MILLION);
        let plan = if self.quick { Plan::quick(registry) } else { Plan::full(registry) };
        let sizes = if self.agents.is_empty() { plan.sizes } else { self.agents.clone() };
        Plan { sizes, million, is_whole: !self.discovery_only, ..plan }
    }
}

impl Plan {
    fn full(registry: PathBuf) -> Self {
        Self {
            registry,
            sizes: vec![1_000, 10_000, 100_000],
            rounds: 3,
            round: Duration::from_millis(600),
            steady: Duration::from_secs(2),
            heartbeats: Duration::from_secs(4),
            large: 100_000,
            starts: 3,
            watchers: 10_000,
            is_whole: true,
            million: None,
        }
    }

    fn quick(registry: PathBuf) -> Self {
        Self {
            sizes: vec![1_000, 10_000],
            rounds: 2,
            round: Duration::from_millis(300),
            steady: Duration::from_secs(1),
            heartbeats: Duration::from_secs(2),
            large: 10_000,
            starts: 2,
            watchers: 1_000,
            ..Self::full(registry)
        }
    }
}

/// A fleet of this size.
pub(crate) fn fleet(agents: usize, distinct: bool) -> Fleet {
    Fleet { agents, capabilities: CAPABILITIES, seed: 1, distinct }
}

/// The fixed rate at which the latency of a class is measured, in questions per second. Those that carry a megabyte or
/// look at every name are asked for less often.
pub(crate) fn rate(class: Class) -> f64 {
    match class {
        Class::Fuzzy | Class::Whole => 20.0,
        _ => 500.0,
    }
}
