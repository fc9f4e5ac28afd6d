//! What a registry has to do beside answering: heartbeats and registrations that arrive at fixed rates.
//!
//! It works on a thread of its own, so that the clock of those who ask does not wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use http::Uri;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fill::{AGENTS, HEARTBEAT, heartbeat};
use super::fleet::Fleet;
use super::schedule::{Pacer, Schedule};
use super::wire::{Base, Connection};

/// Connections for each kind of upkeep.
const CONNECTIONS: usize = 32;
/// The pacer lets go what is due this often: a millisecond more or less does not matter to a heartbeat.
const GRAIN: Duration = Duration::from_millis(1);

/// What arrives in each second.
#[derive(Debug, Clone, Copy, Default, PartialEq, clap::Args)]
pub struct Rates {
    /// Heartbeats that arrive meanwhile, each in a request of its own.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub heartbeats_per_second: u32,
    /// Registrations with a changed document that arrive meanwhile.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub registrations_per_second: u32,
}

/// Upkeep that goes on until it is stopped or dropped.
#[derive(Debug)]
pub struct Upkeep {
    done: Arc<Done>,
    stop: CancellationToken,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

#[derive(Debug, Default)]
struct Done {
    heartbeats: AtomicU64,
    registrations: AtomicU64,
    fault: OnceLock<String>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Heartbeat,
    Registration,
}

// === impl Upkeep ===

impl Upkeep {
    /// Begins to keep `fleet` alive.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(base: &Base, fleet: Fleet, rates: Rates) -> anyhow::Result<Self> {
        Self::start_with(base, fleet, rates, 0)
    }

    /// As [`Self::start`], but with agent `first`: several registries are not told of the same agent at the same time.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start_with(base: &Base, fleet: Fleet, rates: Rates, first: usize) -> anyhow::Result<Self> {
        let (done, stop) = (Arc::new(Done::default()), CancellationToken::new());
        let thread = thread::Builder::new().name("upkeep".to_owned());
        let thread = thread.spawn({
            let (base, done, stop) = (base.clone(), Arc::clone(&done), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(keep(&base, fleet, rates, first as u64, &done, &stop))
            }
        });
        Ok(Self { done, stop, thread: Some(thread.context("the upkeep cannot be started")?) })
    }

    /// Heartbeats that were taken so far.
    pub fn heartbeats(&self) -> u64 {
        self.done.heartbeats.load(Ordering::Relaxed)
    }

    /// Registrations that were taken so far.
    pub fn registrations(&self) -> u64 {
        self.done.registrations.load(Ordering::Relaxed)
    }

    /// Ends it.
    ///
    /// # Errors
    /// What was refused first, if anything was.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join).transpose();
        ended.map_err(|_| anyhow!("the upkeep panicked"))?.transpose()?;
        let fault = self.done.fault.get();
        ensure!(fault.is_none(), "upkeep failed: {}", fault.map_or("", String::as_str));
        Ok(())
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn keep(
    base: &Base,
    fleet: Fleet,
    rates: Rates,
    first: u64,
    done: &Arc<Done>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut pacers, mut workers) = (Vec::new(), JoinSet::new());
    let kinds = [
        (Kind::Heartbeat, rates.heartbeats_per_second),
        (Kind::Registration, rates.registrations_per_second),
    ];
    for (kind, rate) in kinds.into_iter().filter(|(_, rate)| *rate > 0) {
        let pacer = Pacer::start(Schedule { began, per_second: f64::from(rate) }, GRAIN)?;
        let next = Arc::new(AtomicU64::new(first));
        for _ in 0..CONNECTIONS {
            let worker = Worker {
                kind,
                fleet,
                next: Arc::clone(&next),
                due: Arc::clone(&pacer.due),
                done: Arc::clone(done),
            };
            workers.spawn(worker.run(Connection::to(base), stop.clone()));
        }
        pacers.push(pacer);
    }
    while workers.join_next().await.is_some() {}
    Ok(())
}

struct Worker {
    kind: Kind,
    fleet: Fleet,
    next: Arc<AtomicU64>,
    due: Arc<Semaphore>,
    done: Arc<Done>,
}

impl Worker {
    async fn run(self, mut connection: Connection, stop: CancellationToken) {
        loop {
            let due = tokio::select! {
                due = self.due.acquire() => due,
                () = stop.cancelled() => return,
            };
            let Ok(due) = due else { return };
            due.forget();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let (route, body) = self.request(number);
            match connection.post(&Uri::from_static(route), body).await {
                Ok(_) => _ = self.count().fetch_add(1, Ordering::Relaxed),
                Err(fault) => _ = self.done.fault.set(format!("{fault:#}")),
            }
        }
    }

    /// The agents one after the other, again and again.
    fn request(&self, number: u64) -> (&'static str, Bytes) {
        let agents = self.fleet.agents.max(1) as u64;
        let (agent, round) = ((number % agents) as usize, number / agents + 1);
        match self.kind {
            Kind::Heartbeat => (HEARTBEAT, heartbeat(&self.fleet.id(agent)).to_string().into()),
            Kind::Registration => (AGENTS, self.fleet.document_of_build(agent, round).to_string().into()),
        }
    }

    fn count(&self) -> &AtomicU64 {
        match self.kind {
            Kind::Heartbeat => &self.done.heartbeats,
            Kind::Registration => &self.done.registrations,
        }
    }
}
