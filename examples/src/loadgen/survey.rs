//! Asks one class of queries after the other and puts what came of it into a table.

use std::time::Duration;

use super::drive::Driver;
use super::fleet::Fleet;
use super::process::Process;
use super::question::Class;
use super::table::Table;
use super::tally::Outcome;
use super::upkeep::{Rates, Upkeep};
use super::wire::Base;

/// Time for which heartbeats come alone, to see what they cost.
const ALONE: Duration = Duration::from_secs(3);

/// What is asked, and how.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Where the registry is.
    pub base: Base,
    /// The fleet that is there.
    pub fleet: Fleet,
    /// What is asked.
    pub classes: Vec<Class>,
    /// Most rows of an answer.
    pub limit: usize,
    /// Connections that ask.
    pub connections: usize,
    /// Questions in each second; as many as are answered, if it is not said.
    pub rate: Option<f64>,
    /// Time for each class.
    pub time: Duration,
    /// What arrives meanwhile.
    pub rates: Rates,
    /// The registry's process, if it is on this machine.
    pub process: Option<Process>,
}

impl Survey {
    /// Asks everything.
    ///
    /// # Errors
    /// When a class cannot be asked, or upkeep is refused.
    pub async fn take(&self) -> anyhow::Result<Vec<String>> {
        let titles =
            ["class", "q/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "bytes", "errors", "CPU µs", "RSS MiB"];
        let mut table = Table::new(&titles);
        let mut said = Vec::new();
        let upkeep = Upkeep::start(&self.base, self.fleet, self.rates)?;
        let each = self.cost_of_heartbeat(&upkeep).await?;
        for &class in &self.classes {
            let questions = class.questions(&self.base, self.fleet, self.limit).await?;
            let mut driver = Driver::connect(&self.base, questions, self.connections).await?;
            let (cpu, heartbeats) = (self.cpu()?, upkeep.heartbeats());
            let outcome = match self.rate {
                Some(rate) => driver.open(rate, self.time).await?,
                None => driver.closed(self.time).await?,
            };
            let used = self.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6;
            let used = used - each.unwrap_or(0.0) * (upkeep.heartbeats() - heartbeats) as f64;
            table.row(self.row(class, &outcome, used)?);
            said.extend(outcome.first_error.map(|fault| format!("{}: {fault}", class.name())));
        }
        upkeep.stop()?;
        let share = each.map(|each| {
            format!("taken off the CPU time: {each:.1} µs for each heartbeat, as measured without queries")
        });
        let registrations = self.process.filter(|_| self.rates.registrations_per_second > 0);
        let kept = registrations.map(|_| "not taken off: the CPU time of the registrations".to_owned());
        Ok(table.lines().into_iter().chain(share).chain(kept).chain(said).collect())
    }

    fn row(&self, class: Class, outcome: &Outcome, used: f64) -> anyhow::Result<Vec<String>> {
        let ms = |percent| format!("{:.2}", outcome.percentile(percent).as_secs_f64() * 1e3);
        let (cpu, resident) = match self.process {
            Some(process) => (
                format!("{:.1}", used / outcome.answered.max(1) as f64),
                format!("{}", process.resident()? >> 20),
            ),
            None => ("?".to_owned(), "?".to_owned()),
        };
        let (rate, bytes) = (format!("{:.0}", outcome.rate()), format!("{:.0}", outcome.bytes_each()));
        let latencies = [ms(50.0), ms(90.0), ms(99.0), ms(100.0)];
        let begin = [class.name().to_owned(), rate].into_iter();
        Ok(begin.chain(latencies).chain([bytes, outcome.errors.to_string(), cpu, resident]).collect())
    }

    /// CPU time of the registry for one heartbeat in µs, if heartbeats come and its process is known.
    async fn cost_of_heartbeat(&self, upkeep: &Upkeep) -> anyhow::Result<Option<f64>> {
        if self.process.is_none() || self.rates.heartbeats_per_second == 0 {
            return Ok(None);
        }
        let (cpu, heartbeats) = (self.cpu()?, upkeep.heartbeats());
        tokio::time::sleep(ALONE).await;
        let (used, taken) = (self.cpu()?.saturating_sub(cpu), upkeep.heartbeats() - heartbeats);
        Ok(Some(used.as_secs_f64() * 1e6 / taken.max(1) as f64))
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        self.process.map_or(Ok(Duration::ZERO), Process::cpu)
    }
}
