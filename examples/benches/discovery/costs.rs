//! What a registry must carry beside discovery: heartbeats, memory, cold start, watchers, a million agents.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use mesh_examples::loadgen::drive::Driver;
use mesh_examples::loadgen::process::Process;
use mesh_examples::loadgen::question::Class;
use mesh_examples::loadgen::server::Server;
use mesh_examples::loadgen::tally::{Outcome, median};
use mesh_examples::loadgen::upkeep::Upkeep;
use mesh_examples::loadgen::watchers::{Watched, Watching};
use tempfile::TempDir;

use crate::plan::{self, Plan};
use crate::stage::{HEARTBEATS, LIMIT, Stage, ready};

/// Agents that are watched.
const WATCHED: usize = 100;
/// Questions in each second to a million agents.
const RATE: f64 = 200.0;

/// Heartbeats that arrived alone.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    /// How many were taken in each second.
    pub(crate) per_second: f64,
    /// CPU time of each in µs.
    pub(crate) each: f64,
}

/// A registry that starts with a fleet on its disk.
#[derive(Debug)]
pub(crate) struct ColdStart {
    /// Until it is ready, median of several starts.
    pub(crate) seconds: f64,
    /// Memory then, in bytes.
    pub(crate) resident: u64,
    /// Registrations in each second when the fleet was written.
    pub(crate) per_second: f64,
}

/// What the largest fleet takes.
#[derive(Debug)]
pub(crate) struct Million {
    pub(crate) start: ColdStart,
    /// Memory with everybody heard and while it is asked, in bytes.
    pub(crate) resident: u64,
    pub(crate) answers: Vec<(Class, Outcome)>,
}

/// Lets only heartbeats arrive.
pub(crate) async fn heartbeats(
    registry: Process,
    upkeep: &Upkeep,
    time: Duration,
) -> anyhow::Result<Heartbeats> {
    let (began, cpu, before) = (Instant::now(), registry.cpu()?, upkeep.heartbeats());
    tokio::time::sleep(time).await;
    let taken = (upkeep.heartbeats() - before).max(1) as f64;
    let used = registry.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6;
    Ok(Heartbeats { per_second: taken / began.elapsed().as_secs_f64(), each: used / taken })
}

/// Fills a registry that keeps its agents in a file, and starts it again and again.
pub(crate) async fn cold_start(plan: &Plan, agents: usize) -> anyhow::Result<ColdStart> {
    let folder = TempDir::new()?;
    let store = store(&folder);
    let stage = Stage::set(&plan.registry, &store, &[], plan::fleet(agents, false)).await?;
    let per_second = stage.filled.per_second;
    stage.registry.kill().await?;
    let (mut times, mut resident) = (Vec::new(), 0);
    for _ in 0..plan.starts {
        let (registry, seconds) = start(plan, &store).await?;
        times.push(seconds);
        resident = registry.process.resident()?;
        registry.kill().await?;
    }
    Ok(ColdStart { seconds: median(times), resident, per_second })
}

/// Loads the largest fleet from a file and asks it, while heartbeats arrive.
pub(crate) async fn million(plan: &Plan, agents: usize) -> anyhow::Result<Million> {
    let folder = TempDir::new()?;
    let (store, fleet) = (store(&folder), plan::fleet(agents, false));
    let stage = Stage::set(&plan.registry, &store, &[], fleet).await?;
    let (filled, _) = (stage.filled, stage.registry.kill().await?);
    let (registry, seconds) = start(plan, &store).await?;
    let start = ColdStart { seconds, resident: registry.process.resident()?, per_second: filled.per_second };
    let stage = Stage { registry, fleet, filled };
    let upkeep = stage.upkeep()?;
    let mut answers = Vec::new();
    for class in [Class::Exact, Class::Label, Class::Semver, Class::Fuzzy] {
        let questions = class.questions(&stage.registry.base, fleet, LIMIT).await?;
        let mut driver = Driver::connect(&stage.registry.base, questions, 8).await?;
        answers.push((class, driver.open(plan::rate(class).min(RATE), plan.steady).await?));
    }
    upkeep.stop()?;
    Ok(Million { start, resident: stage.registry.process.resident()?, answers })
}

/// Opens idle streams at a small registry and lets one change reach them.
pub(crate) async fn watchers(plan: &Plan) -> anyhow::Result<Watched> {
    let fleet = plan::fleet(WATCHED, false);
    let stage = Stage::set(&plan.registry, "memory:", &[], fleet).await?;
    let (base, process) = (stage.registry.base.clone(), Some(stage.registry.process));
    let watching = Watching { base, watchers: plan.watchers, selector: "team".to_owned(), fleet, process };
    watching.measure().await.with_context(|| format!("{} watchers", plan.watchers))
}

/// What the heartbeats that arrive make of an idle registry, for the heading.
pub(crate) fn arriving() -> String {
    format!("{HEARTBEATS} heartbeats/s arriving, each in a request of its own")
}

fn store(folder: &TempDir) -> String {
    format!("file:{}", folder.path().join("registry").display())
}

/// Starts a registry; returns it with the seconds until it was ready.
async fn start(plan: &Plan, store: &str) -> anyhow::Result<(Server, f64)> {
    let began = Instant::now();
    let registry = Server::registry(&plan.registry, store, &[]).await?;
    ready(&registry.base).await?;
    Ok((registry, began.elapsed().as_secs_f64()))
}
