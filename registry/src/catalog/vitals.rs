//! What is heard from one agent during one life. Shared by the versions of its record, so that no heartbeat is lost
//! while its registration changes. A heartbeat sets a few atomics under a lock of that agent alone, so that what is heard
//! here and elsewhere at once is not taken by halves; whoever looks reads the atomics, and locks only for metadata.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::health::Reported;
use mesh_api::heartbeat::Heartbeat;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::said::{Said, TooMuchSaid};
use crate::health::Signs;
use crate::moment::Moment;
use crate::store::change::{Beat, HERE, Via};

/// How much later silence begins when another registry heard the agent: what it hears comes once a second.
/// It is missed for longer than that before anybody is.
const UNDERWAY: Duration = Duration::from_secs(4);
/// How long before an agent is known here what is heard of it is put in order: longer than etcd keeps its past, which is
/// what a registry catches up on.
const PAST: Duration = Duration::from_secs(600);
/// In place of the time of the last heartbeat when there was none.
const NEVER: i64 = i64::MIN;

/// What is heard from one agent during one life.
#[derive(Debug)]
pub struct Vitals {
    /// What the times below are counted from: earlier than anything that is told of the agent.
    origin: Instant,
    /// In microseconds after `origin`, as what it is judged by: silence is counted anew now and then.
    silent_since: AtomicU64,
    /// In microseconds after `origin`: when the newest heartbeat that is known came in, here or elsewhere. 0 when nobody
    /// knows: there was none, or whoever heard it is gone.
    heard_at: AtomicU64,
    /// In milliseconds since 1970.
    last_heartbeat: AtomicI64,
    reported: AtomicU8,
    /// The number of the registry that heard it last.
    heard_by: AtomicU32,
    /// The fingerprint of what was said when the store was told last.
    told: AtomicU64,
    is_unflushed: AtomicBool,
    /// Held by whoever takes something in, or out for the store, from beginning to end.
    said: Mutex<Option<Arc<Said>>>,
    /// The fingerprint of what is said; 0 when nothing is. Beside the lock, because every answer that is given again
    /// asks for it.
    saying: AtomicU64,
}

/// What of the vitals shows in an agent's JSON, at one moment.
#[derive(Debug, Clone)]
pub struct Showing {
    last_heartbeat: i64,
    /// The metadata that heartbeats brought, if any did.
    pub said: Option<Arc<Said>>,
}

impl Vitals {
    /// Of an agent that has registered and not been heard.
    pub fn unheard(now: Instant) -> Self {
        Self::new(NEVER, Reported::Healthy, now)
    }

    /// Of an agent that was heard before a restart. Its silence counts from now, as we were the ones who were away, unless
    /// another registry heard it meanwhile.
    pub fn restored(beat: &Beat, now: Instant) -> Self {
        let elsewhere = beat.via.filter(|via| via.replica != HERE);
        let silent_since = elsewhere.map_or(now, |via| before(now, via.ago) + UNDERWAY);
        let this = Self::new(beat.at, beat.reported, silent_since);
        this.repeat(&mut this.lock(), beat);
        if let Some(via) = beat.via {
            this.heard_by.store(via.replica, Relaxed);
            this.heard_at.store(this.count(before(now, via.heard)), Relaxed);
        }
        this
    }

    fn new(last_heartbeat: i64, reported: Reported, silent_since: Instant) -> Self {
        let this = Self {
            origin: before(silent_since, PAST),
            silent_since: AtomicU64::new(0),
            heard_at: AtomicU64::new(0),
            last_heartbeat: AtomicI64::new(last_heartbeat),
            reported: AtomicU8::new(reported as u8),
            heard_by: AtomicU32::new(HERE),
            told: AtomicU64::new(0),
            is_unflushed: AtomicBool::new(false),
            said: Mutex::new(None),
            saying: AtomicU64::new(0),
        };
        this.registered(silent_since);
        this
    }

    /// Takes in a heartbeat; its metadata add to what earlier ones said. Returns whether the store has to be told,
    /// which is so once until [`Self::take_unflushed`].
    ///
    /// # Errors
    /// When the metadata get too large. Nothing was taken in then.
    pub fn beat(&self, heartbeat: Heartbeat, now: Moment) -> Result<bool, TooMuchSaid> {
        let mut said = self.lock();
        if !heartbeat.metadata.is_empty() {
            self.say(&mut said, heartbeat.metadata)?;
        }
        self.reported.store(heartbeat.status as u8, Relaxed);
        self.heard_by.store(HERE, Relaxed);
        let heard = self.count(now.instant);
        self.silent_since.store(heard, Relaxed);
        self.heard_at.store(heard, Relaxed);
        // Released last: who sees that it was heard sees the rest too.
        self.last_heartbeat.store(now.wall.as_millisecond(), Release);
        Ok(!self.is_unflushed.swap(true, AcqRel))
    }

    /// The agent has registered anew, so it is not silent; it is not heard of its health either. Silence that begins later
    /// is not counted from now.
    pub fn registered(&self, now: Instant) {
        self.silent_since.fetch_max(self.count(now), Relaxed);
    }

    /// A moment that is known, as it is kept.
    fn count(&self, then: Instant) -> u64 {
        u64::try_from(then.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn moment(&self, kept: &AtomicU64) -> Instant {
        self.origin + Duration::from_micros(kept.load(Relaxed))
    }

    /// Takes in what another registry heard, unless what is known is newer: then no more than metadata of which nothing
    /// is known. Returns whether it is not.
    pub fn overheard(&self, beat: &Beat, via: Via, now: Instant) -> bool {
        let (mut said, heard) = (self.lock(), self.count(before(now, via.heard)));
        if heard < self.heard_at.load(Relaxed) {
            self.complete(&mut said, beat);
            return false;
        }
        self.heard_at.store(heard, Relaxed);
        self.take_over(&mut said, beat, via.replica, before(now, via.ago));
        true
    }

    fn take_over(&self, said: &mut Option<Arc<Said>>, beat: &Beat, replica: u32, silent_since: Instant) {
        self.repeat(said, beat);
        self.reported.store(beat.reported as u8, Relaxed);
        self.heard_by.store(replica, Relaxed);
        // What is said to us next goes to the store whole: it may have lost what we told it.
        self.told.store(0, Release);
        self.registered(silent_since + UNDERWAY);
        self.last_heartbeat.store(beat.at, Release);
    }

    /// Takes in what a snapshot says about an agent that is known, unless what is known is newer. Of what a registry heard
    /// that is gone, silence counts from now.
    pub fn recall(&self, beat: &Beat, now: Instant) {
        if let Some(via) = beat.via {
            self.overheard(beat, via, now);
            return;
        }
        let mut said = self.lock();
        if beat.at > self.last_heartbeat.load(Acquire) {
            self.take_over(&mut said, beat, HERE, now);
        }
    }

    /// The registry that heard the agent last is gone, and may have heard it since: its silence counts from now, and is
    /// ours to judge, unless it was silent for `timeout` before we missed that registry at `missed`.
    pub fn adopt(&self, replica: u32, missed: Instant, timeout: Duration, now: Instant) {
        let _said = self.lock();
        if self.heard_by.compare_exchange(replica, HERE, Relaxed, Relaxed).is_ok()
            && self.signs().silent_since + timeout > missed
        {
            self.registered(now);
        }
    }

    /// Takes in what was said elsewhere.
    fn repeat(&self, said: &mut Option<Arc<Said>>, beat: &Beat) {
        if let Some(metadata) = Said::in_beat(beat) {
            // If it is too much together with what is known here, that stays.
            let _ = self.say(said, metadata);
        }
    }

    /// Takes in what was said elsewhere under keys that are not known here. Whoever told it does not know the rest, or so it
    /// seems: what is said to us next goes to the store whole.
    fn complete(&self, said: &mut Option<Arc<Said>>, beat: &Beat) {
        if let Some(metadata) = Said::in_beat(beat) {
            let _ = self.say(said, Said::new_in(said.as_deref(), metadata));
            self.told.store(0, Release);
        }
    }

    fn say(&self, said: &mut Option<Arc<Said>>, metadata: Map<String, Value>) -> Result<(), TooMuchSaid> {
        if let Some(all) = Said::with(said.as_deref(), metadata)? {
            self.saying.store(all.fingerprint, Release);
            *said = Some(Arc::new(all));
        }
        Ok(())
    }

    /// What the rule of health wants to know.
    pub fn signs(&self) -> Signs {
        let heard = self.last_heartbeat.load(Acquire) != NEVER;
        Signs { heard, silent_since: self.moment(&self.silent_since), reported: self.reported() }
    }

    /// What of this shows in the agent's JSON.
    pub fn showing(&self) -> Showing {
        let last_heartbeat = self.last_heartbeat.load(Acquire);
        Showing { last_heartbeat, said: self.said() }
    }

    /// Whether this is still what shows.
    pub fn shows(&self, shown: &Showing) -> bool {
        self.last_heartbeat.load(Acquire) == shown.last_heartbeat
            && self.saying.load(Acquire) == shown.fingerprint()
    }

    /// When the agent was last heard.
    pub fn last_heartbeat(&self) -> Option<Timestamp> {
        moment(self.last_heartbeat.load(Acquire))
    }

    /// The metadata that heartbeats brought, if any did. Most agents bring none, and cost no lock.
    pub fn said(&self) -> Option<Arc<Said>> {
        (self.saying.load(Acquire) != 0).then(|| self.lock().clone()).flatten()
    }

    /// What the store has not been told yet; `life` is the agent's incarnation. What was said comes along when it is not
    /// what was said the last time.
    pub fn take_unflushed(&self, life: u64, now: Instant) -> Option<Beat> {
        let said = self.lock();
        let beat = self.is_unflushed.swap(false, AcqRel).then(|| self.beat_here(life, now)).flatten()?;
        let said = said.as_ref();
        let said = said.filter(|said| self.told.swap(said.fingerprint, AcqRel) != said.fingerprint);
        Some(Beat { said: said.map(|said| said.json.as_str().into()), ..beat })
    }

    /// What was heard of the agent last, if this registry heard it.
    pub fn heard_here(&self, life: u64, now: Instant) -> Option<Beat> {
        let said = self.lock();
        let beat = self.beat_here(life, now)?;
        Some(Beat { said: said.as_ref().map(|said| said.json.as_str().into()), ..beat })
    }

    fn beat_here(&self, life: u64, now: Instant) -> Option<Beat> {
        let (at, replica) = (self.last_heartbeat.load(Acquire), self.heard_by.load(Relaxed));
        let since = |kept: &AtomicU64| now.saturating_duration_since(self.moment(kept));
        // When nobody knows when it was heard, that counts as long ago: whoever knows better is believed.
        let via = Some(Via { replica, ago: since(&self.silent_since), heard: since(&self.heard_at) });
        let is_heard = at != NEVER && replica == HERE;
        is_heard.then(|| Beat { at, life, reported: self.reported(), said: None, via })
    }

    /// The store could not be told after all. Returns whether nobody else has said so since.
    pub fn keep_unflushed(&self) -> bool {
        self.told.store(0, Release);
        !self.is_unflushed.swap(true, AcqRel)
    }

    fn reported(&self) -> Reported {
        let reported = self.reported.load(Relaxed);
        Reported::ALL.into_iter().find(|one| *one as u8 == reported).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Said>>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `ago` before `now`.
fn before(now: Instant, ago: Duration) -> Instant {
    now.checked_sub(ago).unwrap_or(now)
}

/// The time that a number of milliseconds stands for.
fn moment(last_heartbeat: i64) -> Option<Timestamp> {
    (last_heartbeat != NEVER).then(|| Timestamp::from_millisecond(last_heartbeat).ok()).flatten()
}

// === impl Showing ===

impl Showing {
    /// When the agent was last heard.
    pub fn last_heartbeat(&self) -> Option<Timestamp> {
        moment(self.last_heartbeat)
    }

    /// Differs when what was said does; 0 when nothing was.
    pub fn fingerprint(&self) -> u64 {
        self.said.as_ref().map_or(0, |said| said.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::said::MAX_SAID;
    use super::*;

    fn via(replica: u32, ago: Duration) -> Via {
        Via { replica, ago, heard: ago }
    }

    fn heartbeat(value: Value) -> Heartbeat {
        Heartbeat::from_value(&value).unwrap()
    }

    #[test]
    fn a_heartbeat_is_flushed_once_unless_the_store_could_not_take_it() {
        let now = Moment::now();
        let vitals = Vitals::unheard(now.instant);
        assert_eq!(vitals.take_unflushed(7, now.instant), None);
        let draining = heartbeat(json!({"agent_id": "a", "status": "draining"}));
        assert_eq!([vitals.beat(draining.clone(), now), vitals.beat(draining, now)], [Ok(true), Ok(false)]);
        let take = || vitals.take_unflushed(7, now.instant);
        let via = Some(via(HERE, Duration::ZERO));
        let beat =
            Beat { at: now.wall.as_millisecond(), life: 7, reported: Reported::Draining, said: None, via };
        assert_eq!((take(), take()), (Some(beat.clone()), None));
        assert!(vitals.keep_unflushed());
        assert_eq!(take(), Some(beat));
    }

    #[test]
    fn what_is_said_is_told_once_until_it_changes_or_somebody_else_hears_the_agent() {
        let (now, vitals) = (Moment::now(), Vitals::unheard(Instant::now()));
        let told = |load: u64| {
            vitals.beat(heartbeat(json!({"agent_id": "a", "metadata": {"load": load}})), now).unwrap();
            vitals.take_unflushed(1, now.instant).unwrap().said
        };
        assert_eq!(
            [told(1), told(1), told(2)],
            [Some(r#"{"load":1}"#.into()), None, Some(r#"{"load":2}"#.into())]
        );
        let elsewhere = Beat { said: None, ..vitals.heard_here(1, now.instant).unwrap() };
        let later = now.instant + Duration::from_secs(1);
        assert!(vitals.overheard(&elsewhere, via(3, Duration::ZERO), later));
        assert_eq!(vitals.heard_here(1, now.instant), None, "another one knows better");
        assert_eq!(told(2), Some(r#"{"load":2}"#.into()));
    }

    #[test]
    fn of_what_was_heard_elsewhere_the_newer_counts() {
        const SECOND: Duration = Duration::from_secs(1);
        let (start, vitals) = (Moment::now(), Vitals::unheard(Instant::now()));
        vitals.beat(heartbeat(json!({"agent_id": "a", "status": "draining"})), start).unwrap();
        let beat = |at: i64, via| Beat { at, life: 1, reported: Reported::Healthy, said: None, via };
        let (then, later) = (start.wall.as_millisecond(), start.instant + SECOND * 60);
        let ago = |seconds: u32| via(3, SECOND * seconds);
        assert!(!vitals.overheard(&beat(then - 1_000, None), ago(61), later), "older than what we heard");
        assert_eq!(vitals.signs().reported, Reported::Draining);
        // After a gap: of a registry that is gone only what is newer counts, and it may have heard the agent since.
        vitals.recall(&beat(then, None), later);
        assert_eq!(vitals.signs().reported, Reported::Draining);
        vitals.recall(&beat(then + 1_000, None), later);
        assert!(vitals.signs().reported == Reported::Healthy && vitals.signs().silent_since >= later);
    }

    #[test]
    fn what_was_said_before_a_silence_was_counted_anew_is_taken_in_by_its_own_time() {
        const SECOND: Duration = Duration::from_secs(1);
        let (start, vitals) = (Moment::now(), Vitals::unheard(Instant::now()));
        let beat = |load: u64| Beat {
            at: start.wall.as_millisecond(),
            life: 1,
            reported: Reported::Healthy,
            said: Some(json!({ "load": load }).to_string().into()),
            via: None,
        };
        let load = || vitals.said().unwrap().metadata["load"].clone();
        vitals.overheard(&beat(1), via(3, SECOND), start.instant + SECOND);
        // The registry that heard it goes, and is adopted from; then it comes back under another name and tells what it has
        // heard before that.
        let adopted = start.instant + SECOND * 10;
        vitals.adopt(3, adopted, SECOND * 60, adopted);
        assert!(vitals.overheard(&beat(2), via(4, SECOND * 2), adopted + SECOND));
        assert_eq!((load(), vitals.signs().silent_since >= adopted), (json!(2), true));
        // So is what somebody else tells who has taken over, though it counts the silence from then.
        let of_another = Via { replica: 5, ago: Duration::ZERO, heard: SECOND * 8 };
        assert!(!vitals.overheard(&beat(1), of_another, adopted + SECOND));
        // What was under way all the time is older.
        assert!(!vitals.overheard(&beat(1), via(HERE, SECOND * 8), adopted + SECOND));
        assert!(vitals.overheard(&beat(3), via(4, SECOND), adopted + SECOND * 2));
        assert_eq!(load(), json!(3));
    }

    #[test]
    fn what_was_heard_before_an_agent_is_known_here_is_put_in_order_too() {
        const SECOND: Duration = Duration::from_secs(1);
        let (now, ago) = (Instant::now(), |seconds| via(3, SECOND * seconds));
        let beat = |at: i64, reported, via| Beat { at, life: 1, reported, said: None, via };
        // Another registry was told of the agent a minute before, and its heartbeats come right behind the registration.
        let vitals = Vitals::unheard(now);
        let overheard = |reported, seconds| vitals.overheard(&beat(0, reported, None), ago(seconds), now);
        assert!(overheard(Reported::Healthy, 39) && overheard(Reported::Draining, 9));
        assert!(!overheard(Reported::Healthy, 20), "older than the one that came before it");
        assert_eq!(vitals.signs().reported, Reported::Draining);
        // What was heard before a restart by one that is there is as old as it says.
        let vitals = Vitals::restored(&beat(0, Reported::Draining, Some(ago(20))), now);
        assert!(!vitals.overheard(&beat(0, Reported::Healthy, None), ago(30), now));
        assert!(vitals.overheard(&beat(0, Reported::Healthy, None), ago(10), now));
        // When one is gone nobody knows, so that whoever is there knows better.
        let vitals = Vitals::restored(&beat(0, Reported::Draining, None), now);
        assert!(vitals.overheard(&beat(1, Reported::Healthy, None), ago(2), now));
        assert!(vitals.signs().reported == Reported::Healthy && vitals.signs().silent_since >= now);
    }

    #[test]
    fn others_are_told_when_an_agent_was_heard_and_not_only_since_when_it_is_silent() {
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        let beat = Beat { at: 0, life: 1, reported: Reported::Healthy, said: None, via: None };
        let told = |vitals: &Vitals, then| vitals.heard_here(1, then).and_then(|beat| beat.via).unwrap();
        let vitals = Vitals::unheard(now);
        vitals.overheard(&beat, via(3, Duration::ZERO), now);
        vitals.adopt(3, now, seconds(60), now + seconds(30));
        let then = now + seconds(35);
        assert_eq!(told(&vitals, then), Via { replica: HERE, ago: seconds(5), heard: seconds(35) });
        // After a restart nobody knows.
        assert!(told(&Vitals::restored(&beat, now), now).heard >= PAST / 2);
    }

    #[test]
    fn metadata_that_are_told_too_late_add_what_is_not_known_and_are_answered_with_all_that_is() {
        let (now, vitals) = (Moment::now(), Vitals::unheard(Instant::now()));
        let take = |metadata: Value| {
            vitals.beat(heartbeat(json!({"agent_id": "a", "metadata": metadata})), now).unwrap();
            vitals.take_unflushed(1, now.instant).unwrap().said
        };
        let too_late = |said: Option<Value>| {
            let said = said.map(|said| said.to_string().into());
            let beat = Beat { said, ..vitals.heard_here(1, now.instant).unwrap() };
            assert!(!vitals.overheard(&beat, via(3, Duration::from_secs(9)), now.instant));
        };
        assert_eq!(take(json!({"load": 2})), Some(r#"{"load":2}"#.into()));
        too_late(None);
        assert_eq!(take(json!({})), None, "nobody said otherwise");
        too_late(Some(json!({"load": 1, "memory": 3})));
        assert_eq!(take(json!({})), Some(r#"{"load":2,"memory":3}"#.into()));
        too_late(Some(json!({"long": "x".repeat(MAX_SAID - 20)})));
        assert_eq!(take(json!({})), Some(r#"{"load":2,"memory":3}"#.into()), "together it is too much");
        assert_eq!(take(json!({})), None);
    }

    #[test]
    fn what_is_heard_here_while_something_earlier_is_overheard_is_taken_in_whole() {
        // So much that it takes its time.
        let metadata = (0..2_000).map(|i| (format!("key-{i}"), json!(i))).collect::<Map<_, _>>();
        let said = Some(serde_json::to_string(&metadata).unwrap().into());
        let (start, via) = (Moment::now(), via(3, Duration::ZERO));
        let elsewhere = Beat { at: 0, life: 1, reported: Reported::Healthy, said, via: None };
        let later = Moment { instant: start.instant + Duration::from_secs(1), ..start };
        let vitals = Vitals::unheard(start.instant);
        std::thread::scope(|scope| {
            scope.spawn(|| vitals.overheard(&elsewhere, via, start.instant));
            while vitals.heard_at.load(Relaxed) == 0 {
                std::thread::yield_now();
            }
            vitals.beat(heartbeat(json!({"agent_id": "a", "status": "offline"})), later).unwrap();
        });
        let told = vitals.take_unflushed(1, later.instant).map(|beat| beat.reported);
        assert_eq!((vitals.signs().reported, told), (Reported::Offline, Some(Reported::Offline)));
        assert!(!vitals.overheard(&elsewhere, via, start.instant), "it is still the later one");
    }

    #[test]
    fn metadata_add_up_and_only_what_differs_is_a_change() {
        let vitals = Vitals::unheard(Instant::now());
        let say = |metadata: Value| {
            vitals.beat(heartbeat(json!({"agent_id": "a", "metadata": metadata})), Moment::now()).unwrap();
            vitals.said().unwrap()
        };
        let first = say(json!({"load": 1, "memory": "2"}));
        assert!(Arc::ptr_eq(&first, &say(json!({"load": 1}))));
        let second = say(json!({"load": 2}));
        assert_eq!(second.json, r#"{"load":2,"memory":"2"}"#);
        assert!(first.fingerprint != second.fingerprint && first.fingerprint != 0);
    }

    #[test]
    fn what_heartbeats_say_has_an_end() {
        let vitals = Vitals::unheard(Instant::now());
        let say = |key: &str| {
            let metadata = json!({ key: "x".repeat(MAX_SAID / 2) });
            vitals.beat(heartbeat(json!({"agent_id": "a", "metadata": metadata})), Moment::now())
        };
        assert_eq!([say("a"), say("b"), say("a")], [Ok(true), Err(TooMuchSaid), Ok(false)]);
        assert_eq!(vitals.said().unwrap().metadata.len(), 1);
    }

    #[test]
    fn a_registration_takes_nothing_from_the_time_that_what_is_heard_elsewhere_has() {
        let (now, vitals) = (Instant::now(), Vitals::unheard(Instant::now()));
        let beat = Beat { at: 0, life: 1, reported: Reported::Healthy, said: None, via: None };
        assert!(vitals.overheard(&beat, via(3, Duration::ZERO), now));
        vitals.registered(now + UNDERWAY / 4);
        let silence = || (now + UNDERWAY * 2).saturating_duration_since(vitals.signs().silent_since);
        assert!(silence() < UNDERWAY + Duration::from_micros(2), "{:?}", silence());
        vitals.registered(now + UNDERWAY * 2);
        assert!(silence() < Duration::from_micros(2), "{:?}", silence());
    }

    #[test]
    fn silence_counts_from_the_last_heartbeat() {
        let vitals = Vitals::unheard(Instant::now());
        assert!(!vitals.signs().heard && vitals.last_heartbeat().is_none());
        let later = Moment { instant: Instant::now() + Duration::from_millis(1_500), ..Moment::now() };
        vitals.beat(heartbeat(json!({"agent_id": "a"})), later).unwrap();
        let silence = later.instant.saturating_duration_since(vitals.signs().silent_since);
        assert!(vitals.signs().heard && silence < Duration::from_micros(2), "{silence:?}");
        assert_eq!(vitals.last_heartbeat(), Some(later.wall));
    }
}
