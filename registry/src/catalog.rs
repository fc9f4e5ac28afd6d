//! Everything the registry knows, in memory: what answers every read.
//!
//! The change feed writes it, from the store's change stream and from nothing else. Heartbeats go to the vitals of a
//! record and leave the catalog itself alone. No clock and no I/O: moments come in as arguments.

pub mod census;

pub mod page;
pub mod query;

pub mod hit;
pub mod wanted;

pub mod fuzzy;
pub mod record;

pub mod vitals;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use mesh_api::error::Fault;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use tokio::sync::watch;
use tokio::time::Instant;

use self::census::Census;
use self::page::Page;
use self::record::Record;
use self::vitals::Vitals;
use crate::health::{AgentTypes, Vantage};
use crate::preservation::Freeze;
use crate::store::change::{Beat, Changed, Event, Snapshot, Stored};

/// Time until a registry that started empty may believe that it has heard everybody: one default health interval.
const WARM_UP: Duration = Duration::from_secs(30);

/// Everything the registry knows.
#[derive(Debug)]
pub struct Catalog {
    known: RwLock<Known>,
    expiry: RwLock<Expiry>,
    /// The revision that has been applied, `None` when no more will be; wakes those who wait for their change to show.
    applied: watch::Sender<Option<u64>>,
    types: AgentTypes,
}

#[derive(Debug)]
struct Known {
    records: BTreeMap<String, Arc<Record>>,
    revision: u64,
    warm_at: Instant,
}

/// How far expiry has come, as the sweeper last said.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    horizon: Instant,
    freeze: Option<Freeze>,
}

/// The change stream has ended: what is waited for will not show any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the catalog gets no changes any more")]
pub struct Abandoned;

impl Catalog {
    /// An empty catalog; agents get their thresholds from `types`.
    pub fn new(types: AgentTypes, now: Instant) -> Self {
        let known = Known { records: BTreeMap::new(), revision: 0, warm_at: now + WARM_UP };
        let expiry = Expiry { horizon: now, freeze: None };
        Self {
            known: RwLock::new(known),
            expiry: RwLock::new(expiry),
            applied: watch::Sender::new(Some(0)),
            types,
        }
    }

    // === changes ===

    /// Applies events of the store's change stream. Only the feed calls this.
    pub fn apply(&self, events: Vec<Event>, now: Instant) {
        let mut known = self.write();
        for event in events {
            match event {
                Event::Snapshot(snapshot) => known.replace(snapshot, &self.types, now),
                Event::Changed(Changed::Put(stored)) => known.put(stored, &BTreeMap::new(), &self.types, now),
                Event::Changed(Changed::Removed { id, revision }) => known.remove(&id, revision),
            }
        }
        let revision = known.revision;
        drop(known);
        self.applied.send_replace(Some(revision));
    }

    /// No more events will come. Only the feed calls this.
    pub fn abandon(&self) {
        self.applied.send_replace(None);
    }

    /// Waits until `revision` has been applied.
    ///
    /// # Errors
    /// When the catalog is not fed any more.
    pub async fn reached(&self, revision: u64) -> Result<(), Abandoned> {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| applied.is_none_or(|applied| applied >= revision)).await;
        reached.ok().and_then(|applied| *applied).map(drop).ok_or(Abandoned)
    }

    /// Takes over what the sweeper decided about expiry.
    pub fn set_expiry(&self, horizon: Instant, freeze: Option<Freeze>) {
        *self.expiry.write().unwrap_or_else(PoisonError::into_inner) = Expiry { horizon, freeze };
    }

    // === answers ===

    /// The record of `id`.
    pub fn get(&self, id: &str) -> Option<Arc<Record>> {
        self.read().records.get(id).cloned()
    }

    /// Every record, by id.
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.read().records.values().cloned().collect()
    }

    /// The page of agents that `query` asks for, and the revision it was true at.
    ///
    /// # Errors
    /// When its `continue` is not ours.
    pub fn agents(&self, query: &AgentQuery, now: Instant) -> Result<(Page, u64), Fault> {
        let from = self.vantage(now);
        let known = self.read();
        let (hits, revision) = (query::agents(&known.records, query, from), known.revision);
        drop(known);
        Ok((Page::cut(hits, &query.paging, query.fuzzy_match)?, revision))
    }

    /// The page of capabilities that `query` asks for, and the revision it was true at.
    ///
    /// # Errors
    /// When its `continue` is not ours.
    pub fn capabilities(&self, query: &CapabilityQuery, now: Instant) -> Result<(Page, u64), Fault> {
        let from = self.vantage(now);
        let known = self.read();
        let (hits, revision) = (query::capabilities(&known.records, query, from), known.revision);
        drop(known);
        Ok((Page::cut(hits, &query.paging, query.fuzzy_match)?, revision))
    }

    /// Counts of everything.
    pub fn census(&self, now: Instant) -> Census {
        let from = self.vantage(now);
        Census::of(self.read().records.values(), from)
    }

    /// From where statuses are looked at now.
    pub fn vantage(&self, now: Instant) -> Vantage {
        Vantage { now, horizon: self.expiry().horizon }
    }

    /// Why expiry stands still, if it does.
    pub fn freeze(&self) -> Option<Freeze> {
        self.expiry().freeze
    }

    /// Whether every agent there is has had the time to register.
    pub fn is_warm(&self, now: Instant) -> bool {
        now >= self.read().warm_at
    }

    fn expiry(&self) -> Expiry {
        *self.expiry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    /// A store that had agents knows everybody there is.
    fn replace(&mut self, snapshot: Snapshot, types: &AgentTypes, now: Instant) {
        if !snapshot.agents.is_empty() {
            self.warm_at = now;
        }
        let before = std::mem::take(&mut self.records);
        for stored in snapshot.agents {
            if let Some(record) = before.get(&stored.registration.id) {
                self.records.insert(stored.registration.id.clone(), Arc::clone(record));
            }
            self.put(stored, &snapshot.beats, types, now);
        }
        self.revision = snapshot.revision;
    }

    /// A registration of the same life keeps its vitals; a new life starts unheard, unless `beats` knows it.
    fn put(&mut self, stored: Arc<Stored>, beats: &BTreeMap<String, Beat>, types: &AgentTypes, now: Instant) {
        let id = stored.registration.id.clone();
        let known = self.records.get(&id).filter(|record| record.stored.incarnation == stored.incarnation);
        let beat = beats.get(&id).filter(|beat| beat.life == stored.incarnation);
        let vitals = match (known, beat) {
            (Some(record), _) => Arc::clone(&record.vitals),
            (None, Some(beat)) => Arc::new(Vitals::restored(*beat, now)),
            (None, None) => Arc::new(Vitals::unheard(now)),
        };
        self.revision = stored.revision;
        let thresholds = types.thresholds(&stored.registration);
        self.records.insert(id, Arc::new(Record { stored, thresholds, vitals }));
    }

    fn remove(&mut self, id: &str, revision: u64) {
        self.records.remove(id);
        self.revision = revision;
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mesh_api::agent::Registration;
    use mesh_api::health::{Reported, Status};
    use mesh_api::heartbeat::Heartbeat;
    use serde_json::json;

    use super::*;
    use crate::moment::Moment;

    fn stored(id: &str, revision: u64, incarnation: u64) -> Arc<Stored> {
        let registration = Registration::from_value(&json!({"id": id, "endpoint": "http://h:1/"})).unwrap().0;
        let time = Timestamp::UNIX_EPOCH;
        Arc::new(Stored {
            registration,
            created_at: time,
            updated_at: time,
            owner: None,
            incarnation,
            revision,
        })
    }

    fn put(stored: Arc<Stored>) -> Event {
        Event::Changed(Changed::Put(stored))
    }

    fn snapshot(revision: u64, agents: Vec<Arc<Stored>>, beats: BTreeMap<String, Beat>) -> Vec<Event> {
        vec![Event::Snapshot(Snapshot { revision, agents, beats })]
    }

    fn fed(events: Vec<Event>) -> (Catalog, Instant) {
        let now = Instant::now();
        let catalog = Catalog::new(AgentTypes::default(), now);
        catalog.apply(events, now);
        (catalog, now)
    }

    fn status(catalog: &Catalog, id: &str, now: Instant) -> Status {
        catalog.get(id).unwrap().status(catalog.vantage(now))
    }

    fn beat(catalog: &Catalog, id: &str) {
        let heartbeat = Heartbeat::from_value(&json!({"agent_id": id})).unwrap();
        catalog.get(id).unwrap().vitals.beat(heartbeat, Moment::now());
    }

    #[test]
    fn a_flushed_heartbeat_counts_only_for_the_life_that_sent_it() {
        let beat = Beat { at: 1_000, life: 1, reported: Reported::Healthy };
        let beats = BTreeMap::from(["same", "later"].map(|id| (id.to_owned(), beat)));
        let (catalog, now) = fed(snapshot(2, vec![stored("same", 1, 1), stored("later", 2, 2)], beats));
        assert_eq!(
            (status(&catalog, "same", now), status(&catalog, "later", now)),
            (Status::Healthy, Status::Pending)
        );
    }

    #[test]
    fn a_change_of_the_registration_keeps_what_was_heard_and_a_new_life_does_not() {
        let (catalog, now) = fed(vec![put(stored("a", 1, 1))]);
        beat(&catalog, "a");
        catalog.apply(vec![put(stored("a", 2, 1))], now);
        assert_eq!(status(&catalog, "a", now), Status::Healthy);
        catalog.apply(vec![put(stored("a", 3, 3))], now);
        assert_eq!(status(&catalog, "a", now), Status::Pending);
    }

    #[test]
    fn a_snapshot_after_a_gap_replaces_everything_but_what_was_heard() {
        let (catalog, now) = fed(vec![put(stored("kept", 1, 1)), put(stored("lost", 2, 2))]);
        beat(&catalog, "kept");
        catalog.apply(snapshot(9, vec![stored("kept", 1, 1), stored("new", 8, 8)], BTreeMap::new()), now);
        let ids = catalog.records().iter().map(|record| record.registration().id.clone()).collect::<Vec<_>>();
        assert_eq!((ids.join(" ").as_str(), status(&catalog, "kept", now)), ("kept new", Status::Healthy));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_revision_is_woken_by_it_or_by_the_end() {
        let (catalog, now) = fed(vec![put(stored("a", 4, 4))]);
        assert_eq!(catalog.reached(4).await, Ok(()));
        let (reached, ()) = tokio::join!(catalog.reached(5), async {
            catalog.apply(vec![Event::Changed(Changed::Removed { id: "a".to_owned(), revision: 5 })], now);
        });
        assert_eq!(reached, Ok(()));
        let (reached, ()) = tokio::join!(catalog.reached(6), async { catalog.abandon() });
        assert_eq!(reached, Err(Abandoned));
    }

    #[test]
    fn a_store_that_had_agents_is_warm_at_once() {
        let (full, now) = fed(snapshot(1, vec![stored("a", 1, 1)], BTreeMap::new()));
        let (empty, _) = fed(snapshot(0, Vec::new(), BTreeMap::new()));
        assert!(full.is_warm(now) && !empty.is_warm(now) && empty.is_warm(now + WARM_UP * 2));
    }
}
