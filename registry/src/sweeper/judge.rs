//! Judges: which statuses have changed by silence, and whether silence is to be believed.

use std::sync::Arc;
use std::time::Duration;

use mesh_api::health::Status;
use tokio::time::Instant;

use crate::catalog::Catalog;
use crate::catalog::known::Noticed;
use crate::catalog::seats::Seated;
use crate::preservation::{Freeze, Preservation, Reason};
use crate::store::Store;
use crate::store::engine::{Cause, Gap};

/// Judges the health of agents.
#[derive(Debug)]
pub(super) struct Judge {
    catalog: Arc<Catalog>,
    store: Arc<Store>,
    preservation: Preservation,
    /// Who expired at the last tick: they may be taken back at the next one.
    expired_lately: Vec<Arc<str>>,
}

impl Judge {
    /// Judges from `now` on; a fleet that fell silent is waited for until `patience` has passed.
    pub(super) fn new(catalog: Arc<Catalog>, store: Arc<Store>, patience: Duration, now: Instant) -> Self {
        Self { catalog, store, preservation: Preservation::new(now, patience), expired_lately: Vec::new() }
    }

    /// Looks at everybody whose status may have changed. Returns whether watchers have to be told of something.
    pub(super) fn judge(&mut self, now: Instant) -> bool {
        let due = self.catalog.due(now);
        self.expire(&due, now);
        self.notice(&due, now);
        self.catalog.unannounced() > 0
    }

    /// Moves the horizon of expiry, and says when it stops and goes on.
    fn expire(&mut self, due: &[Seated], now: Instant) {
        let before = self.preservation.freeze();
        let (living, silent) = self.catalog.living();
        let is_late = |seated: &&Seated| {
            !seated.status.is_gone()
                && !seated.is_silent()
                && seated.record.vitals.signs().are_late(&seated.record.thresholds, now)
        };
        let (lately, late) = (self.expired_in_window(), due.iter().filter(is_late).count());
        self.preservation.sweep(now, living + lately, silent + late + lately, self.blind(now));
        let freeze = self.preservation.freeze();
        self.catalog.expiry.set(self.preservation.horizon(), freeze, now);
        announce(before, freeze);
    }

    /// Why silence is not to be believed, if it is not.
    fn blind(&self, now: Instant) -> Option<Freeze> {
        let gap = self.store.gap().map(|Gap { since, cause }| {
            let reason = match cause {
                Cause::Store => Reason::StoreBehind,
                Cause::Replica => Reason::RegistrySilent,
            };
            Freeze { since, reason }
        });
        let trouble = self.store.trouble().map(|_| Freeze { since: now, reason: Reason::StoreUnreachable });
        gap.or(trouble)
    }

    fn expired_in_window(&self) -> usize {
        let lately = self.expired_lately.iter().filter_map(|id| self.catalog.get(id));
        let due = |seated: &Seated| seated.record.vitals.signs().expires_at(&seated.record.thresholds);
        let window = self.preservation.window();
        lately.filter(|seated| seated.status == Status::Expired && due(seated) > window).count()
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
