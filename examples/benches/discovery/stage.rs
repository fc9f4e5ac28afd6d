//! What is measured together: a registry with a fleet that is alive, and a floor that sends the same bytes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use mesh_examples::loadgen::fill;
use mesh_examples::loadgen::fleet::Fleet;
use mesh_examples::loadgen::question::Class;
use mesh_examples::loadgen::server::Server;
use mesh_examples::loadgen::upkeep::{Rates, Upkeep};
use mesh_examples::loadgen::wire::{Base, Connection};

/// The job of the load tool that serves the floor.
pub(crate) const FLOOR: &str = "floor";
/// Most rows of an answer, but of those that have all.
pub(crate) const LIMIT: usize = 20;
/// Heartbeats that arrive at the registry in each second while it is asked.
pub(crate) const HEARTBEATS: u32 = 10_000;
/// More of them than any registry answers on the machines that this runs on.
const FLOOD: u32 = 500_000;
/// Connections that register a fleet.
const FILLING: usize = 64;
/// Time for a server to be ready, and pause between two looks at it.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(2);

/// A registry with a fleet.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) registry: Server,
    pub(crate) fleet: Fleet,
    pub(crate) filled: Filled,
}

/// What it cost the registry to take in its fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    /// Bytes of memory for each agent.
    pub(crate) memory_each: f64,
    /// CPU time of a registration.
    pub(crate) registration: Duration,
    /// CPU time of a heartbeat in a batch.
    pub(crate) batched_heartbeat: Duration,
    /// Registrations in each second.
    pub(crate) per_second: f64,
}

impl Stage {
    /// Starts a registry, with `more` on its command line, and fills it.
    pub(crate) async fn set(
        program: &Path,
        store: &str,
        more: &[&str],
        fleet: Fleet,
    ) -> anyhow::Result<Self> {
        let registry = Server::registry(program, store, more).await?;
        ready(&registry.base).await?;
        let process = registry.process;
        let (empty, cpu) = (process.resident()?, process.cpu()?);
        let time = fill::register(&registry.base, fleet, FILLING).await?;
        let registered = process.cpu()?;
        fill::beat(&registry.base, fleet, FILLING).await?;
        let beaten = process.cpu()?;
        let agents = u32::try_from(fleet.agents.max(1))?;
        let memory = process.resident()?.saturating_sub(empty);
        let filled = Filled {
            memory_each: memory as f64 / f64::from(agents),
            registration: registered.saturating_sub(cpu) / agents,
            batched_heartbeat: beaten.saturating_sub(registered) / agents,
            per_second: f64::from(agents) / time.as_secs_f64(),
        };
        Ok(Self { registry, fleet, filled })
    }

    /// Starts a floor that has learnt the answers to these classes.
    pub(crate) async fn floor(&self, classes: &[Class]) -> anyhow::Result<Server> {
        let this = std::env::current_exe().context("the benchmark does not know where it lies")?;
        let classes = classes.iter().map(|class| class.name()).collect::<Vec<_>>().join(",");
        let (url, limit) = (self.registry.base.to_string(), LIMIT.to_string());
        let Fleet { agents, capabilities, seed, distinct } = self.fleet;
        let (agents, capabilities, seed) = (agents.to_string(), capabilities.to_string(), seed.to_string());
        let mut arguments = vec![FLOOR, "--url", &url, "--class", &classes, "--limit", &limit];
        arguments.extend(["--agents", &agents, "--capabilities", &capabilities, "--seed", &seed]);
        arguments.extend(distinct.then_some("--distinct"));
        Server::start(&this, &arguments).await
    }

    /// Lets heartbeats arrive.
    pub(crate) fn upkeep(&self) -> anyhow::Result<Upkeep> {
        self.upkeep_at(HEARTBEATS)
    }

    /// Lets heartbeats arrive as fast as they are answered.
    pub(crate) fn flood(&self) -> anyhow::Result<Upkeep> {
        self.upkeep_at(FLOOD)
    }

    fn upkeep_at(&self, heartbeats_per_second: u32) -> anyhow::Result<Upkeep> {
        let rates = Rates { heartbeats_per_second, registrations_per_second: 0 };
        Upkeep::start(&self.registry.base, self.fleet, rates)
    }
}

/// Waits until a registry is ready.
pub(crate) async fn ready(base: &Base) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut connection = Connection::to(base);
    while connection.fetch(&http::Uri::from_static("/readyz")).await.is_err() {
        ensure!(began.elapsed() < PATIENCE, "a registry is not ready in time");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
