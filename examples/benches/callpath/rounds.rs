//! All subjects under load, in turns, round after round, so that whatever else the machine does hits all of them.

use std::time::Duration;

use anyhow::ensure;
use mesh_examples::loadgen::tally::{Outcome, median};

use crate::plan::Plan;
use crate::stage::{Stage, connect};
use crate::subject::{Kind, Subject};

/// Time after which a program that has only been started counts as idle.
const AT_REST: Duration = Duration::from_secs(1);
/// Time that a program is asked before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// What came of one subject.
#[derive(Debug)]
pub(crate) struct Measured {
    /// CPU time of the server for a request in µs, at saturation.
    pub(crate) cpu: f64,
    /// That of the thin proxy taken as 1: median of the rounds' ratios.
    pub(crate) ratio: f64,
    /// Requests in each second at saturation.
    pub(crate) per_second: f64,
    /// Latencies at the fixed rate in µs: half of all, 99 of 100.
    pub(crate) latency: (f64, f64),
    /// Resident memory in bytes: before the first request, after all load.
    pub(crate) resident: (u64, u64),
    /// Requests at the fixed rate that could not be sent in time.
    pub(crate) late: u64,
}

/// A subject and its rounds.
struct Contestant {
    subject: &'static Subject,
    rounds: Vec<Round>,
}

/// One round of one subject.
struct Round {
    cpu: f64,
    per_second: f64,
    latency: (f64, f64),
    resident: (u64, u64),
    late: u64,
}

/// Asks every subject in every round; what came of each, in the order of the plan.
pub(crate) async fn measure(stage: &Stage, plan: &Plan) -> anyhow::Result<Vec<Measured>> {
    let contestants = plan.subjects.iter().map(|&subject| Contestant { subject, rounds: Vec::new() });
    let mut contestants = contestants.collect::<Vec<_>>();
    for _ in 0..plan.rounds {
        for contestant in &mut contestants {
            let round = contestant.compete(stage, plan).await?;
            contestant.rounds.push(round);
        }
        // Each is the first one in turn: what comes first may find the machine in another state.
        contestants.rotate_left(1);
    }
    let turned = plan.rounds % contestants.len().max(1);
    contestants.rotate_right(turned);
    let thin = contestants.iter().find(|contestant| contestant.subject.server == Kind::Thin);
    let thin = thin.map(|thin| thin.each(|round| round.cpu)).unwrap_or_default();
    Ok(contestants.iter().map(|contestant| contestant.conclude(&thin)).collect())
}

impl Contestant {
    /// As fast as it answers, then at the fixed rate. Its server has only been started: where a program lies in memory
    /// and which of its threads got which connection stays for its life, and costs or saves a tenth.
    async fn compete(&mut self, stage: &Stage, plan: &Plan) -> anyhow::Result<Round> {
        let server = stage.start(self.subject).await?;
        let asked = server.as_ref().unwrap_or(stage.upstream());
        tokio::time::sleep(AT_REST).await;
        let idle = asked.process.resident()?;
        let mut driver = connect(self.subject, &asked.base, plan.connections).await?;
        self.expect_good(&driver.closed(WARM_UP).await?)?;
        let before = asked.process.work()?;
        let saturated = driver.closed(plan.round).await?;
        let used = asked.process.work()?.since(&before);
        self.expect_good(&saturated)?;
        let steady = driver.open(plan.rate, plan.steady).await?;
        self.expect_good(&steady)?;
        let round = Round {
            cpu: used.as_secs_f64() * 1e6 / saturated.answered.max(1) as f64,
            per_second: saturated.rate(),
            latency: (micros(&steady, 50.0), micros(&steady, 99.0)),
            resident: (idle, asked.process.resident()?),
            late: steady.late,
        };
        if let Some(server) = server {
            server.kill().await?;
        }
        Ok(round)
    }

    /// A machine that is slow is no fault; an answer that is wrong is one.
    fn expect_good(&self, outcome: &Outcome) -> anyhow::Result<()> {
        let bad = outcome.errors - outcome.late;
        let reason = outcome.first_error.as_deref().unwrap_or_default();
        ensure!(bad == 0, "{}: {bad} requests are not answered well: {reason}", self.subject.title);
        Ok(())
    }

    fn conclude(&self, thin: &[f64]) -> Measured {
        let ratios = self.rounds.iter().zip(thin).map(|(round, thin)| round.cpu / thin);
        Measured {
            cpu: median(self.each(|round| round.cpu)),
            ratio: median(ratios.collect()),
            per_second: median(self.each(|round| round.per_second)),
            latency: (median(self.each(|round| round.latency.0)), median(self.each(|round| round.latency.1))),
            resident: (self.resident(|(idle, _)| idle), self.resident(|(_, after)| after)),
            late: self.rounds.iter().map(|round| round.late).sum(),
        }
    }

    /// The most that it was in any round.
    fn resident(&self, when: impl Fn((u64, u64)) -> u64) -> u64 {
        self.rounds.iter().map(|round| when(round.resident)).max().unwrap_or_default()
    }

    fn each(&self, figure: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }
}

fn micros(outcome: &Outcome, percent: f64) -> f64 {
    outcome.percentile(percent).as_secs_f64() * 1e6
}
