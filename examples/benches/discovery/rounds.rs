//! One class of queries at the registry and at the floor, in turns, so that whatever else the machine does hits both.

use std::time::Duration;

use mesh_examples::loadgen::drive::Driver;
use mesh_examples::loadgen::question::Class;
use mesh_examples::loadgen::server::Server;
use mesh_examples::loadgen::tally::{Outcome, median};
use mesh_examples::loadgen::upkeep::Upkeep;

use crate::plan::{self, Plan};
use crate::stage::{LIMIT, Stage};

/// Connections that ask.
const CONNECTIONS: usize = 8;

/// What came of one class.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) class: Class,
    /// Answers per second in a closed loop, median of the rounds: of the registry, of the floor.
    pub(crate) per_second: (f64, f64),
    /// CPU time of the server for an answer in µs, likewise.
    pub(crate) cpu: (f64, f64),
    /// Median of the rounds' ratios of the two.
    pub(crate) ratio: f64,
    /// At a fixed rate, likewise.
    pub(crate) steady: (Outcome, Outcome),
    /// Requests in closed loops that were not answered well.
    pub(crate) errors: u64,
}

/// Both servers, and the heartbeats that arrive at the registry all the time.
pub(crate) struct Rounds<'s> {
    pub(crate) stage: &'s Stage,
    pub(crate) floor: &'s Server,
    pub(crate) upkeep: &'s Upkeep,
}

/// A closed loop at one of the servers.
struct Round {
    outcome: Outcome,
    /// CPU time of the floor and of the registry meanwhile, in µs.
    floor_cpu: f64,
    registry_cpu: f64,
    heartbeats: f64,
}

impl Rounds<'_> {
    /// Asks both.
    pub(crate) async fn measure(&self, class: Class, plan: &Plan) -> anyhow::Result<Measured> {
        let (mut here, mut there) =
            (self.driver(class, &self.stage.registry).await?, self.driver(class, self.floor).await?);
        let (mut rates, mut floor_rates, mut cpu, mut floor_cpu) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut ratios, mut errors) = (Vec::new(), 0);
        for _ in 0..plan.rounds {
            let floor = self.round(&mut there, plan.round).await?;
            let registry = self.round(&mut here, plan.round).await?;
            let each = floor.floor_cpu / answers(&floor);
            // While the floor was asked the registry had nothing to do but to take heartbeats.
            let heartbeat = floor.registry_cpu / floor.heartbeats.max(1.0);
            let mine = (registry.registry_cpu - heartbeat * registry.heartbeats) / answers(&registry);
            ratios.push(mine / each);
            cpu.push(mine);
            floor_cpu.push(each);
            rates.push(registry.outcome.rate());
            floor_rates.push(floor.outcome.rate());
            errors += registry.outcome.errors;
        }
        let rate = plan::rate(class);
        let steady = (here.open(rate, plan.steady).await?, there.open(rate, plan.steady / 2).await?);
        let (per_second, cpu) = ((median(rates), median(floor_rates)), (median(cpu), median(floor_cpu)));
        Ok(Measured { class, per_second, cpu, ratio: median(ratios), steady, errors })
    }

    async fn driver(&self, class: Class, server: &Server) -> anyhow::Result<Driver> {
        let questions = class.questions(&server.base, self.stage.fleet, LIMIT).await?;
        Driver::connect(&server.base, questions, CONNECTIONS).await
    }

    async fn round(&self, driver: &mut Driver, time: Duration) -> anyhow::Result<Round> {
        let (floor, registry) = (self.floor.process, self.stage.registry.process);
        let before = (floor.cpu()?, registry.cpu()?, self.upkeep.heartbeats());
        let outcome = driver.closed(time).await?;
        let used = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() * 1e6;
        Ok(Round {
            outcome,
            floor_cpu: used(floor.cpu()?, before.0),
            registry_cpu: used(registry.cpu()?, before.1),
            heartbeats: (self.upkeep.heartbeats() - before.2) as f64,
        })
    }
}

fn answers(round: &Round) -> f64 {
    round.outcome.answered.max(1) as f64
}
