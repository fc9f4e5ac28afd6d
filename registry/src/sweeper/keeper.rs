//! Keeps the store up to date: whom we heard, how many changes of health there are to number, and who is long gone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Instant, timeout};

use crate::catalog::Catalog;
use crate::catalog::seats::Seated;
use crate::registrar::Registrar;
use crate::store::Store;
use crate::store::change::Beats;

/// Most removals of one tick, so that a dead fleet does not hold up the next tick.
const MAX_REMOVALS: usize = 1_000;
/// Removals that are under way together and share the store's group commits.
const REMOVALS_AT_ONCE: usize = 100;
/// Agents that are looked at before others get their turn.
const AT_ONCE: usize = 1_024;
/// Time for revisions that were set aside to come by in the change stream; asking for more meanwhile would waste them.
const COMING_BY: Duration = Duration::from_secs(1);

/// Tells the store what it has to know.
#[derive(Debug)]
pub(super) struct Keeper {
    catalog: Arc<Catalog>,
    store: Arc<Store>,
    registrar: Arc<Registrar>,
    retention: Duration,
}

impl Keeper {
    /// Keeps `store` up to date; agents that have expired are removed after `retention`.
    pub(super) fn new(
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        registrar: Arc<Registrar>,
        retention: Duration,
    ) -> Self {
        Self { catalog, store, registrar, retention }
    }

    /// How often the store has to be told something, if others wait for it.
    pub(super) fn pulse(&self) -> Option<Duration> {
        self.store.pulse()
    }

    /// Tells the store whom we heard since the last time and how many statuses have changed. What it cannot take is
    /// kept for the next time; a store in trouble is tried even with nothing to tell, because only a write shows that
    /// it is well again.
    pub(super) async fn flush(&self) {
        let noticed = self.catalog.unannounced() as u64;
        let (records, now) = (self.catalog.unflushed.take(), Instant::now());
        let unflushed = records.iter().filter_map(|record| {
            let beat = record.vitals.take_unflushed(record.stored.incarnation, now)?;
            Some((record.id().to_owned(), beat))
        });
        let beats = Arc::new(unflushed.collect::<Beats>());
        let is_idle = beats.is_empty() && noticed == 0;
        if is_idle && self.store.trouble().is_none() && self.store.pulse().is_none() {
            return;
        }
        match self.store.flush(Arc::clone(&beats), noticed).await {
            // Whoever has no patience for it sees it at the next tick.
            Ok(revision) if noticed > 0 => {
                let _ = timeout(COMING_BY, self.catalog.progress.reached(revision)).await;
            }
            Ok(_) => {}
            Err(fault) => {
                tracing::warn!(%fault, agents = beats.len(), "heartbeats could not be flushed, trying again");
                self.catalog.unflushed.keep(records);
            }
        }
    }

    /// Has the store keep whom this registry heard last in place of what it was told of it one by one, from time to time.
    pub(super) async fn sum_up(&self) {
        if self.store.is_sum_due() && self.store.trouble().is_none() {
            let mut beats = Beats::new();
            for some in self.catalog.everybody().chunks(AT_ONCE) {
                let now = Instant::now();
                beats.extend(some.iter().filter_map(|record| {
                    let beat = record.vitals.heard_here(record.stored.incarnation, now)?;
                    Some((record.id().to_owned(), beat))
                }));
                tokio::task::yield_now().await;
            }
            if let Err(fault) = self.store.sum_up(Arc::new(beats)).await {
                tracing::warn!(%fault, "heartbeats could not be summed up, trying again");
            }
        }
    }

    /// Removes agents that have been gone for long, unless the store is in trouble anyway.
    pub(super) async fn remove_gone(&self, now: Instant) {
        if self.store.trouble().is_some() || self.catalog.expiry.freeze().is_some() {
            return;
        }
        let due = self.catalog.due(now).into_iter();
        let gone = due.filter(|seated| self.is_gone(seated, now)).take(MAX_REMOVALS).collect::<Vec<_>>();
        stream::iter(gone).for_each_concurrent(REMOVALS_AT_ONCE, |seated| self.remove(seated)).await;
    }

    /// Others may have been waited for since the agent was judged, so it is judged again.
    async fn remove(&self, judged: Seated) {
        let id = judged.record.id();
        // The first of many finds out that the store is in trouble; the rest need not.
        if self.store.trouble().is_some() {
            return;
        }
        let Some(seated) = self.catalog.get(id).filter(|seated| self.is_gone(seated, Instant::now())) else {
            return;
        };
        match self.registrar.remove(&seated.record).await {
            Ok(Some(_)) => tracing::info!(agent.id = id, "an agent that was gone for long was removed"),
            Ok(None) => tracing::debug!(agent.id = id, "an agent registered just before its removal"),
            Err(fault) => {
                tracing::warn!(agent.id = id, %fault, "an agent could not be removed, trying again")
            }
        }
    }

    fn is_gone(&self, seated: &Seated, now: Instant) -> bool {
        let record = &seated.record;
        let expiry = &self.catalog.expiry;
        // Silence that was not believed for a while has gone on since then at least.
        let expired_at = record.vitals.signs().expires_at(&record.thresholds).max(expiry.believed_since());
        let status = record.derived_status(expiry.vantage(now));
        status.is_gone() && now.saturating_duration_since(expired_at) > self.retention
    }
}
