//! Everything the registry knows, in memory: what answers every read.
//!
//! The change feed writes it, from the store's change stream and from nothing else; beside it, a change of status is
//! listed when it is noticed. A heartbeat touches the vitals of one record and leaves all of this alone, unless it
//! changes a status. No clock and no I/O: moments come in as arguments.

pub mod census;

pub mod answers;
pub mod expiry;
pub mod keeping;
pub mod progress;
pub mod unflushed;
pub mod watcher;

pub mod locked;

pub mod known;

pub mod editions;
pub mod history;
pub mod listing;

pub mod page;
pub mod query;

pub mod hit;

pub mod ranked;

pub mod conditions;
pub mod seats;

pub mod event;
pub mod index;
pub mod listed;
pub mod matcher;
pub mod numbering;
pub mod order;

pub mod arrival;
pub mod render;

pub mod record;

pub mod facets;
pub mod layout;
pub mod outline;
pub mod vitals;

pub mod said;
pub mod terms;
pub mod versions;

pub mod fuzzy;
pub mod interned;

pub mod bell;
pub mod posting;
pub mod shapes;

use std::sync::Arc;

use mesh_api::error::Fault;
use mesh_api::heartbeat::Heartbeat;
use tokio::time::Instant;

use self::answers::{Answer, Answers};
use self::arrival::{Arrival, Unreadable};
use self::census::Census;
use self::expiry::Expiry;
use self::history::{Gone, History};
use self::hit::Hit;
use self::keeping::Keeping;
use self::known::{Known, Noticed};
use self::listing::{Listing, Rows};
use self::locked::{AT_ONCE, Locked};
use self::page::Page;
use self::progress::Progress;
use self::query::{Kind, Question};
use self::record::Record;
use self::said::TooMuchSaid;
use self::seats::{Seated, Seats};
use self::unflushed::Unflushed;
use self::watcher::{Filter, Watcher};
use crate::health::{AgentTypes, Vantage};
use crate::moment::Moment;
use crate::store::change::{Changed, Event, Snapshot, Stored};

/// Everything the registry knows.
#[derive(Debug)]
pub struct Catalog {
    known: Locked,
    answers: Answers,
    history: Arc<History>,
    types: AgentTypes,
    /// How far the change stream has been applied.
    pub progress: Progress,
    /// How far expiry has come.
    pub expiry: Expiry,
    /// Whose latest heartbeat the store has not been told.
    pub unflushed: Unflushed,
}

impl Catalog {
    /// An empty catalog; agents get their thresholds from `types`.
    pub fn new(types: AgentTypes, keeping: Keeping, now: Instant) -> Self {
        let history = Arc::new(History::new(keeping.changes, keeping.overlap));
        Self {
            known: Locked::new(Known::nobody(Arc::clone(&history), keeping.retention, now)),
            answers: Answers::new(keeping.answers),
            history,
            types,
            progress: Progress::default(),
            expiry: Expiry::new(now),
            unflushed: Unflushed::default(),
        }
    }

    // === changes of registrations ===

    /// Applies events of the store's change stream. Only the feed calls this.
    ///
    /// # Errors
    /// When the store holds what is no registration. Everything else has been applied then.
    pub fn apply(&self, events: Vec<Event>, now: Instant) -> Result<(), Unreadable> {
        let mut outcome = Ok(());
        for event in events {
            match event {
                Event::Snapshot(snapshot) => outcome = outcome.and(self.replace(snapshot, now)),
                Event::Changed(Changed::Put(stored)) => outcome = outcome.and(self.put(stored, now)),
                Event::Changed(Changed::Removed { id, revision }) => {
                    let outline = self.get(&id).map(|seated| seated.record.outline());
                    self.known.write().remove(&id, outline.as_ref(), revision, now);
                }
                Event::Changed(Changed::Heard { heard, revision }) => {
                    self.known.overhear(&heard, self.expiry.vantage(now));
                    self.known.write().revision = revision;
                }
                Event::Changed(Changed::Lost { replica, heard, revision }) => {
                    self.known.visit(|Seated { record, .. }| {
                        record.vitals.adopt(replica, heard, record.thresholds.timeout, now);
                    });
                    self.known.write().revision = revision;
                }
                Event::Changed(Changed::SetAside { revision }) => {
                    while !self.known.write().announce(revision, AT_ONCE, now) {}
                }
            }
        }
        self.progress.advance(self.revision());
        outcome
    }

    fn replace(&self, snapshot: Snapshot, now: Instant) -> Result<(), Unreadable> {
        let (mut seats, mut outcome, from) = (Seats::new(now), Ok(()), self.expiry.vantage(now));
        let read = |stored: &Arc<Stored>| {
            let (known, beat) = (self.get(&stored.id), snapshot.beats.get(&*stored.id));
            let known = known.as_ref().map(|seated| &*seated.record);
            Arrival::read(Arc::clone(stored), known, beat, &self.types, from)
        };
        arrival::read_all(&snapshot.agents, read, |arrival| match arrival {
            Ok(Arrival { record, outline, status, .. }) => seats.put(record, &outline, None, status),
            Err(fault) => outcome = Err(fault),
        });
        self.known.write().replace(seats, snapshot.revision, now);
        outcome
    }

    /// The registration is read before the lock is taken: only the feed changes who is there.
    fn put(&self, stored: Arc<Stored>, now: Instant) -> Result<(), Unreadable> {
        let (revision, known) = (stored.revision, self.get(&stored.id));
        let known = known.as_ref().map(|seated| &*seated.record);
        let from = self.expiry.vantage(now);
        let arrival = Arrival::read(stored, known, None, &self.types, from);
        let mut known = self.known.write();
        known.revision = revision;
        // A heartbeat may have come since it was read.
        arrival.map(|arrival| {
            known.put(Arrival { status: arrival.record.derived_status(from), ..arrival }, now);
        })
    }

    // === signs of life and changes of status ===

    /// Takes in a heartbeat and returns whom it is from; `None` when the agent is not known.
    ///
    /// # Errors
    /// When its metadata are more than is kept.
    pub fn beat(&self, heartbeat: Heartbeat, now: Moment) -> Result<Option<Arc<Record>>, TooMuchSaid> {
        let from = self.expiry.vantage(now.instant);
        let Some(Seated { record, .. }) = self.get(&heartbeat.agent_id) else { return Ok(None) };
        // Without the lock: what heartbeats say may be long.
        if record.vitals.beat(heartbeat, now)? {
            self.unflushed.push(Arc::clone(&record));
        }
        if self.known.read().seats.get(record.id()).is_some_and(|seated| seated.has_news(from)) {
            self.notice(std::slice::from_ref(&record.stored.id), from);
        }
        Ok(Some(record))
    }

    /// Everybody.
    pub fn everybody(&self) -> Vec<Arc<Record>> {
        self.known.everybody()
    }

    /// Everybody whose status may have changed by itself.
    pub fn due(&self, now: Instant) -> Vec<Seated> {
        self.known.due(now)
    }

    /// Lists each of these agents under the status that follows from what is heard. Returns what has changed.
    pub fn notice(&self, ids: &[Arc<str>], from: Vantage) -> Vec<Noticed> {
        self.known.notice(ids, from)
    }

    /// How many agents have neither expired nor gone offline, and how many of them are silent beyond their timeout.
    pub fn living(&self) -> (usize, usize) {
        let known = self.known.read();
        (known.seats.living(), known.seats.silent())
    }

    /// How many agents have a status that watchers have not been told.
    pub fn unannounced(&self) -> usize {
        self.known.read().unannounced()
    }

    // === answers ===

    /// The agent `id`.
    pub fn get(&self, id: &str) -> Option<Seated> {
        self.known.read().seats.get(id).cloned()
    }

    /// The page that `question` asks for; `text` is the query as it was written. Kept to be given again, and
    /// rendered when somebody needs the bytes.
    ///
    /// # Errors
    /// When its `continue` is not ours.
    pub fn list(&self, question: Question<'_>, text: &str, now: Instant) -> Result<Listing, Fault> {
        let known = self.known.read();
        let found = question.find(&known.seats);
        let page = Page::cut(&known.seats, &found, question.paging())?;
        let (revision, is_warm) = (known.revision, now >= known.warm_at);
        let mark = known.editions.mark(question.facet());
        drop(known);
        let rows = Arc::new(Rows::of(page, found.kind));
        self.answers.keep(found.kind, text, Answer { rows: Arc::clone(&rows), mark });
        Ok(Listing { rows, revision, is_warm })
    }

    /// The answer to the query `text`, if it was given before and has the same rows now; the heartbeats that they show
    /// are those of now.
    pub fn answered(&self, kind: Kind, text: &str, now: Instant) -> Option<Listing> {
        let kept = self.answers.get(kind, text)?;
        // The lock keeps the mark and the revision together.
        let known = self.known.read();
        let (revision, is_warm) = (known.revision, now >= known.warm_at);
        let is_current = known.editions.is_current(kept.mark);
        drop(known);
        is_current.then(|| Listing { rows: self.answers.refresh(kind, text, kept), revision, is_warm })
    }

    /// Follows the agents that `filter` sees: from behind revision `from` on, or with all of them to begin with, which
    /// are returned.
    ///
    /// # Errors
    /// When changes behind `from` are not kept any more.
    pub fn watch(&self, filter: Filter, from: Option<u64>) -> Result<(Vec<Hit>, Watcher), Gone> {
        let known = self.known.read();
        Watcher::open(&self.history, filter, from, &known.seats, known.revision)
    }

    /// The newest revision that answers take into account.
    pub fn revision(&self) -> u64 {
        self.known.read().revision
    }

    /// Counts of everything.
    pub fn census(&self) -> Census {
        Census::of(self.known.read().seats.index())
    }

    /// Whether every agent there is has had the time to register.
    pub fn is_warm(&self, now: Instant) -> bool {
        now >= self.known.read().warm_at
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use jiff::Timestamp;
    use mesh_api::agent::Registration;
    use mesh_api::health::{Reported, Status};
    use mesh_api::heartbeat::Heartbeat;
    use mesh_api::query::{AgentQuery, CapabilityQuery};
    use serde_json::json;

    use super::known::WARM_UP;
    use super::*;
    use crate::store::change::{Beat, Beats};

    const KEEPING: Keeping =
        Keeping { answers: 10, changes: 10, overlap: Duration::ZERO, retention: Duration::from_secs(60) };

    fn stored(id: &str, revision: u64, incarnation: u64) -> Arc<Stored> {
        let registration = Registration::from_value(&json!({"id": id, "endpoint": "http://h:1/"})).unwrap().0;
        let time = Timestamp::UNIX_EPOCH;
        Arc::new(Stored {
            id: id.into(),
            document: serde_json::to_string(&registration).unwrap().into(),
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

    fn snapshot(revision: u64, agents: Vec<Arc<Stored>>, beats: Beats) -> Vec<Event> {
        vec![Event::Snapshot(Snapshot { revision, agents, beats })]
    }

    fn fed(events: Vec<Event>) -> (Catalog, Instant) {
        let now = Instant::now();
        let catalog = Catalog::new(AgentTypes::default(), KEEPING, now);
        catalog.apply(events, now).unwrap();
        (catalog, now)
    }

    fn status(catalog: &Catalog, id: &str, now: Instant) -> Status {
        let seated = catalog.get(id).unwrap();
        assert_eq!(seated.status, seated.record.derived_status(catalog.expiry.vantage(now)));
        seated.status
    }

    fn beat(catalog: &Catalog, id: &str) {
        beat_at(catalog, id, Moment::now());
    }

    fn beat_at(catalog: &Catalog, id: &str, now: Moment) {
        let heartbeat = Heartbeat::from_value(&json!({"agent_id": id})).unwrap();
        catalog.beat(heartbeat, now).unwrap().unwrap();
    }

    /// A heartbeat of a later day.
    fn beat_later(catalog: &Catalog, id: &str) {
        beat_at(
            catalog,
            id,
            Moment { wall: Timestamp::from_second(4_000_000_000).unwrap(), ..Moment::now() },
        );
    }

    #[test]
    fn a_flushed_heartbeat_counts_only_for_the_life_that_sent_it() {
        let beat = Beat { at: 1_000, life: 1, reported: Reported::Healthy, said: None, via: None };
        let beats = Beats::from(["same", "later"].map(|id| (id.to_owned(), beat.clone())));
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
        catalog.apply(vec![put(stored("a", 2, 1))], now).unwrap();
        assert_eq!(status(&catalog, "a", now), Status::Healthy);
        catalog.apply(vec![put(stored("a", 3, 3))], now).unwrap();
        assert_eq!(status(&catalog, "a", now), Status::Pending);
    }

    #[test]
    fn a_snapshot_after_a_gap_replaces_everything_but_what_was_heard() {
        let (catalog, now) = fed(vec![put(stored("kept", 1, 1)), put(stored("lost", 2, 2))]);
        beat(&catalog, "kept");
        catalog
            .apply(snapshot(9, vec![stored("kept", 1, 1), stored("new", 8, 8)], Beats::new()), now)
            .unwrap();
        let ids = ["kept", "lost", "new"].map(|id| catalog.get(id).is_some());
        assert_eq!((ids, status(&catalog, "kept", now)), ([true, false, true], Status::Healthy));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_revision_is_woken_by_it_or_by_the_end() {
        let (catalog, now) = fed(vec![put(stored("a", 4, 4))]);
        assert_eq!(catalog.progress.reached(4).await, Ok(()));
        let (reached, ()) = tokio::join!(catalog.progress.reached(5), async {
            catalog
                .apply(vec![Event::Changed(Changed::Removed { id: "a".into(), revision: 5 })], now)
                .unwrap();
        });
        assert_eq!(reached, Ok(()));
        let (reached, ()) = tokio::join!(catalog.progress.reached(6), async { catalog.progress.abandon() });
        assert_eq!(reached, Err(progress::Abandoned));
    }

    #[test]
    fn a_store_that_had_agents_is_warm_at_once() {
        let (full, now) = fed(snapshot(1, vec![stored("a", 1, 1)], Beats::new()));
        let (empty, _) = fed(snapshot(0, Vec::new(), Beats::new()));
        assert!(full.is_warm(now) && !empty.is_warm(now) && empty.is_warm(now + WARM_UP * 2));
    }

    #[test]
    fn a_heartbeat_that_changes_a_status_is_listed_at_once_and_announced_with_a_revision_of_its_own() {
        let (catalog, now) = fed(vec![put(stored("a", 4, 4))]);
        let (_, watcher) = catalog.watch(Filter::Agents(Box::default()), Some(4)).unwrap();
        beat(&catalog, "a");
        assert_eq!((status(&catalog, "a", now), catalog.unannounced()), (Status::Healthy, 1));
        catalog.apply(vec![Event::Changed(Changed::SetAside { revision: 6 })], now).unwrap();
        assert_eq!((catalog.revision(), catalog.unannounced()), (6, 0));
        let told = told(watcher);
        assert!(told.starts_with("event: MODIFIED\nid: 5\n") && told.contains("healthy"), "{told}");
    }

    #[test]
    fn a_status_that_a_new_registration_has_shown_is_not_announced_again() {
        let (catalog, now) = fed(vec![put(stored("a", 4, 4))]);
        beat(&catalog, "a");
        catalog.apply(vec![put(stored("a", 5, 4))], now).unwrap();
        let (_, watcher) = catalog.watch(Filter::Agents(Box::default()), Some(5)).unwrap();
        catalog
            .apply(vec![Event::Changed(Changed::SetAside { revision: 6 }), put(stored("b", 7, 7))], now)
            .unwrap();
        assert!(told(watcher).starts_with("event: ADDED\nid: 7\n"));
    }

    /// What a watcher is told first.
    fn told(mut watcher: Watcher) -> String {
        watcher.next().now_or_never().unwrap().unwrap().concat()
    }

    #[test]
    fn an_answer_is_given_again_until_something_changes_that_it_shows() {
        let (catalog, now) = fed(vec![put(stored("a", 4, 4))]);
        let query = CapabilityQuery::default();
        let etag = catalog.list(Question::Capabilities(&query), "", now).unwrap().etag();
        assert_eq!(catalog.answered(Kind::Capabilities, "", now).unwrap().etag(), etag);
        beat(&catalog, "a");
        assert!(catalog.answered(Kind::Capabilities, "", now).is_none(), "the status has changed");
        catalog.list(Question::Capabilities(&query), "", now).unwrap();
        beat(&catalog, "a");
        assert!(catalog.answered(Kind::Capabilities, "", now).is_some(), "nothing has changed");
        catalog.apply(vec![put(stored("b", 5, 5))], now).unwrap();
        assert!(catalog.answered(Kind::Capabilities, "", now).is_none());
    }

    #[test]
    fn a_list_of_agents_that_is_given_again_shows_the_heartbeats_of_now() {
        let (catalog, now) = fed(vec![put(stored("a", 1, 1)), put(stored("b", 2, 2))]);
        let query = AgentQuery { id: Some("a".to_owned()), ..AgentQuery::default() };
        ["a", "b"].iter().for_each(|id| beat(&catalog, id));
        catalog.list(Question::Agents(&query), "id=a", now).unwrap();
        beat(&catalog, "b");
        let kept = || catalog.answered(Kind::Agents, "id=a", now).unwrap();
        let before = kept();
        assert!(Arc::ptr_eq(&before.rows, &kept().rows), "what is heard of others is not its business");
        catalog.apply(vec![put(stored("c", 3, 3))], now).unwrap();
        assert!(Arc::ptr_eq(&before.rows, &kept().rows), "nor is who else comes");
        assert!(catalog.answered(Kind::Capabilities, "id=a", now).is_none());
        let heartbeat = json!({"agent_id": "a", "metadata": {"load": 1}});
        catalog.beat(Heartbeat::from_value(&heartbeat).unwrap(), Moment::now()).unwrap().unwrap();
        let after = kept();
        assert!(Arc::ptr_eq(&after.rows, &kept().rows), "rendered once");
        assert_ne!(before.etag(), after.etag());
        let text =
            |listing: Listing| String::from_utf8(listing.bytes(Timestamp::UNIX_EPOCH).to_vec()).unwrap();
        assert!(text(after.clone()).contains(r#""metadata":{"load":1}"#));
        beat_later(&catalog, "a");
        let later = kept();
        assert_eq!(later.etag(), after.etag(), "the time of a heartbeat alone is no news");
        assert!(text(later).contains(r#""last_heartbeat":"2096-10-02T07:06:40Z""#));
    }

    #[test]
    fn an_answer_that_is_brought_up_to_date_takes_no_room_from_others() {
        let (catalog, now) = fed(vec![put(stored("a", 1, 1)), put(stored("b", 2, 2))]);
        ["a", "b"].iter().for_each(|id| beat(&catalog, id));
        let texts = (0..KEEPING.answers).map(|i| format!("id=a&{i}")).collect::<Vec<_>>();
        let query = AgentQuery { id: Some("a".to_owned()), ..AgentQuery::default() };
        for text in &texts {
            catalog.list(Question::Agents(&query), text, now).unwrap();
        }
        beat_later(&catalog, "a");
        assert!(texts.iter().all(|text| catalog.answered(Kind::Agents, text, now).is_some()));
    }
}
