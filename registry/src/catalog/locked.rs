//! Who is known, under a lock that is never held for long: whatever touches many does so in parts, and lets others in
//! between.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::time::Instant;

use super::known::{Known, Noticed};
use super::record::Record;
use super::seats::Seated;
use crate::health::Vantage;
use crate::store::change::Beat;

/// Most changes that are made before readers get their turn.
pub const AT_ONCE: usize = 64;
/// Seats that are looked over under one lock: a millisecond or two.
const SEATS_AT_ONCE: usize = 16_384;

/// Who is known, under a lock.
#[derive(Debug)]
pub struct Locked(RwLock<Known>);

impl Locked {
    /// Puts it under a lock.
    pub fn new(known: Known) -> Self {
        Self(RwLock::new(known))
    }

    /// To look something up.
    pub fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To change something.
    pub fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody whose status may have changed by itself: after the start this is everybody.
    pub fn due(&self, now: Instant) -> Vec<Seated> {
        let mut due = Vec::new();
        self.in_parts(|known, seats| due.extend(known.seats.due(seats, now).cloned()));
        due
    }

    /// Looks at everybody, one by one.
    pub fn visit(&self, mut look: impl FnMut(&Seated)) {
        self.in_parts(|known, seats| known.seats.on(seats).for_each(&mut look));
    }

    /// Takes in what another registry heard, and lists those whose status it changes.
    pub fn overhear(&self, heard: &[(String, Beat)], from: Vantage) {
        let mut news = Vec::new();
        for (id, beat) in heard {
            let seated = self.read().seats.get(id).cloned();
            let seated = seated.filter(|seated| seated.record.stored.incarnation == beat.life);
            let Some((seated, via)) = seated.zip(beat.via) else { continue };
            if seated.record.vitals.overheard(beat, via, from.now) && seated.has_news(from) {
                news.push(Arc::clone(&seated.record.stored.id));
            }
        }
        self.notice(&news, from);
    }

    /// Everybody.
    pub fn everybody(&self) -> Vec<Arc<Record>> {
        let mut all = Vec::new();
        self.visit(|Seated { record, .. }| all.push(Arc::clone(record)));
        all
    }

    /// Lists each of these agents under the status that follows from what is heard. Returns what has changed.
    pub fn notice(&self, ids: &[Arc<str>], from: Vantage) -> Vec<Noticed> {
        let mut changed = Vec::new();
        for ids in ids.chunks(AT_ONCE) {
            let mut known = self.write();
            changed.extend(ids.iter().filter_map(|id| known.notice(id, from)));
        }
        changed
    }

    fn in_parts(&self, mut part: impl FnMut(&Known, std::ops::Range<usize>)) {
        let mut first = 0;
        loop {
            let known = self.read();
            part(&known, first..first + SEATS_AT_ONCE);
            first += SEATS_AT_ONCE;
            if first >= known.seats.room() {
                return;
            }
        }
    }
}
