//! The timer beside the lines: notices changes of status, lets agents expire, flushes heartbeats and changes of health
//! to the store in one batch a tick, and removes agents that are long gone. Nothing on the way of a request waits for
//! it, and it looks only at agents whose status may have changed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use mesh_api::health::Status;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::catalog::known::Noticed;
use crate::catalog::record::Record;
use crate::catalog::seats::Seated;
use crate::preservation::{Freeze, Preservation};
use crate::registrar::Registrar;
use crate::store::Store;
use crate::store::change::Beats;

/// Most removals of one tick, so that a dead fleet does not hold up the next tick.
const MAX_REMOVALS: usize = 1_000;
/// Removals that are under way together and share the store's group commits.
const REMOVALS_AT_ONCE: usize = 100;

/// How often it sweeps, and what it removes.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Time between two ticks.
    pub interval: Duration,
    /// Time that expired agents are kept, and that a silent fleet is waited for.
    pub retention: Duration,
}

/// Sweeps the catalog.
#[derive(Debug)]
pub struct Sweeper {
    catalog: Arc<Catalog>,
    store: Arc<Store>,
    registrar: Arc<Registrar>,
    schedule: Schedule,
    preservation: Preservation,
    /// Who expired at the last tick: they may be taken back at the next one.
    expired_lately: Vec<Arc<str>>,
}

impl Sweeper {
    /// Sweeps `catalog` from `now` on.
    pub fn new(
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        registrar: Arc<Registrar>,
        schedule: Schedule,
        now: Instant,
    ) -> Self {
        let preservation = Preservation::new(now, schedule.retention);
        Self { catalog, store, registrar, schedule, preservation, expired_lately: Vec::new() }
    }

    /// Sweeps until `stop` is cancelled, then flushes once more.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut timer = tokio::time::interval(self.schedule.interval);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => self.tick(Instant::now()).await,
                () = stop.cancelled() => break,
            }
        }
        self.flush().await;
    }

    /// One sweep. Flushes before it judges, because a store that is away makes a bad witness, and once more when what
    /// it judged is to be announced.
    pub async fn tick(&mut self, now: Instant) {
        self.flush().await;
        let due = self.catalog.due(now);
        self.expire(&due, now);
        self.notice(&due, now);
        if self.catalog.unannounced() > 0 {
            self.flush().await;
        }
        self.remove_gone(&due, now).await;
    }

    /// Moves the horizon of expiry, and says when it stops and goes on.
    fn expire(&mut self, due: &[Seated], now: Instant) {
        let before = self.preservation.freeze();
        let lately = self.expired_lately.iter().filter_map(|id| self.catalog.get(id)).collect::<Vec<_>>();
        let living = due.iter().filter(|seated| !matches!(seated.status, Status::Expired | Status::Offline));
        let lately = lately.iter().filter(|seated| seated.status == Status::Expired);
        let fleet = self.catalog.living() + lately.clone().count();
        let dues = living.chain(lately).map(|seated| &seated.record);
        let dues = dues.map(|record| record.vitals.signs().expires_at(&record.thresholds));
        self.preservation.sweep(now, fleet, dues, self.store.trouble().is_none());
        let freeze = self.preservation.freeze();
        self.catalog.expiry.set(self.preservation.horizon(), freeze);
        announce(before, freeze);
    }

    fn notice(&mut self, due: &[Seated], now: Instant) {
        let mut ids = due.iter().map(|seated| Arc::clone(&seated.record.stored.id)).collect::<Vec<_>>();
        ids.append(&mut self.expired_lately);
        let changed = self.catalog.notice(&ids, self.catalog.expiry.vantage(now));
        for Noticed { record, before, now } in &changed {
            tracing::info!(agent.id = record.id(), from = %before, to = %now, "the status of an agent changed");
        }
        let expired = changed.iter().filter(|noticed| noticed.now == Status::Expired);
        self.expired_lately = expired.map(|noticed| Arc::clone(&noticed.record.stored.id)).collect();
    }

    /// Tells the store whom we heard since the last time and how many statuses have changed. What it cannot take is
    /// kept for the next tick; a store in trouble is tried even with nothing to tell, because only a write shows that
    /// it is well again.
    async fn flush(&self) {
        let noticed = self.catalog.unannounced() as u64;
        let records = self.catalog.unflushed.take();
        let unflushed = records.iter().filter_map(|record| {
            let beat = record.vitals.take_unflushed(record.stored.incarnation)?;
            Some((record.id().to_owned(), beat))
        });
        let beats = Arc::new(unflushed.collect::<Beats>());
        if beats.is_empty() && noticed == 0 && self.store.trouble().is_none() {
            return;
        }
        if let Err(fault) = self.store.flush(Arc::clone(&beats), noticed).await {
            tracing::warn!(%fault, agents = beats.len(), "heartbeats could not be flushed, trying again");
            self.catalog.unflushed.keep(records);
        }
    }

    async fn remove_gone(&self, due: &[Seated], now: Instant) {
        let from = self.catalog.expiry.vantage(now);
        let is_gone = |record: &&Arc<Record>| {
            let expired_at = record.vitals.signs().expires_at(&record.thresholds);
            matches!(record.derived_status(from), Status::Expired | Status::Offline)
                && now.saturating_duration_since(expired_at) > self.schedule.retention
        };
        let gone = due.iter().map(|seated| &seated.record).filter(is_gone).take(MAX_REMOVALS);
        let gone = gone.cloned().collect::<Vec<_>>();
        stream::iter(gone).for_each_concurrent(REMOVALS_AT_ONCE, |record| self.remove(record)).await;
    }

    async fn remove(&self, record: Arc<Record>) {
        let id = record.id();
        match self.registrar.remove(&record).await {
            Ok(Some(_)) => tracing::info!(agent.id = id, "an agent that was gone for long was removed"),
            Ok(None) => tracing::debug!(agent.id = id, "an agent came back just before its removal"),
            Err(fault) => {
                tracing::warn!(agent.id = id, %fault, "an agent could not be removed, trying again")
            }
        }
    }
}

fn announce(before: Option<Freeze>, freeze: Option<Freeze>) {
    match (before.map(|freeze| freeze.reason), freeze.map(|freeze| freeze.reason)) {
        (before, Some(reason)) if before != Some(reason) => {
            tracing::warn!(%reason, "expiry is frozen: silent agents stay degraded");
        }
        (Some(_), None) => tracing::info!("expiry goes on"),
        _ => {}
    }
}
