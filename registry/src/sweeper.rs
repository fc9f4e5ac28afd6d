//! The timer beside the lines: notices changes of status, lets agents expire, removes those long gone, and flushes
//! heartbeats to the store in one batch a tick. Nothing on the way of a request waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use mesh_api::health::Status;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::catalog::record::Record;
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
        Self { catalog, store, registrar, schedule, preservation: Preservation::new(now, schedule.retention) }
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
        self.flush(&self.catalog.records()).await;
    }

    /// One sweep.
    pub async fn tick(&mut self, now: Instant) {
        let records = self.catalog.records();
        self.flush(&records).await;
        self.expire(&records, now);
        self.notice(&records, now);
        self.remove_gone(&records, now).await;
    }

    /// Tells the store whom we heard since the last time. What it cannot take is kept for the next tick; a store in
    /// trouble is tried even with nothing to tell, because only a write shows that it is well again.
    async fn flush(&self, records: &[Arc<Record>]) {
        let unflushed = records.iter().filter_map(|record| {
            let beat = record.vitals.take_unflushed(record.stored.incarnation)?;
            Some((record.registration().id.clone(), beat))
        });
        let beats = Arc::new(unflushed.collect::<Beats>());
        if beats.is_empty() && self.store.trouble().is_none() {
            return;
        }
        if let Err(fault) = self.store.flush_heartbeats(Arc::clone(&beats)).await {
            tracing::warn!(%fault, agents = beats.len(), "heartbeats could not be flushed, trying again");
            let kept = records.iter().filter(|record| beats.contains_key(&record.registration().id));
            kept.for_each(|record| record.vitals.keep_unflushed());
        }
    }

    /// Moves the horizon of expiry, and says when it stops and goes on.
    fn expire(&mut self, records: &[Arc<Record>], now: Instant) {
        let before = self.preservation.freeze();
        let dues = records.iter().map(|record| record.vitals.signs()).zip(records);
        let dues = dues
            .filter(|(signs, _)| !signs.is_gone())
            .map(|(signs, record)| signs.expires_at(&record.thresholds));
        self.preservation.sweep(now, dues, self.store.trouble().is_none());
        let freeze = self.preservation.freeze();
        self.catalog.set_expiry(self.preservation.horizon(), freeze);
        announce(before, freeze);
    }

    fn notice(&self, records: &[Arc<Record>], now: Instant) {
        let from = self.catalog.vantage(now);
        for record in records {
            let status = record.status(from);
            if let Some(before) = record.vitals.notice(status) {
                let id = record.registration().id.as_str();
                tracing::info!(agent.id = id, from = %before, to = %status, "the status of an agent changed");
            }
        }
    }

    async fn remove_gone(&self, records: &[Arc<Record>], now: Instant) {
        let from = self.catalog.vantage(now);
        let is_gone = |record: &&Arc<Record>| {
            let expired_at = record.vitals.signs().expires_at(&record.thresholds);
            matches!(record.status(from), Status::Expired | Status::Offline)
                && now.saturating_duration_since(expired_at) > self.schedule.retention
        };
        let gone = records.iter().filter(is_gone).take(MAX_REMOVALS).cloned().collect::<Vec<_>>();
        stream::iter(gone).for_each_concurrent(REMOVALS_AT_ONCE, |record| self.remove(record)).await;
    }

    async fn remove(&self, record: Arc<Record>) {
        let id = record.registration().id.as_str();
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
