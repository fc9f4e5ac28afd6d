//! Answers of the registry that outlive the registry: fresh, then served while they are refreshed behind, then
//! refreshed with patience, and served stale while the registry is away.
//!
//! One question is asked once at a time, however many calls wait for its answer. While the registry is away a
//! gate lets one question through now and then; everybody else is served from memory without waiting.

pub mod slot;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_client::error::ClientError;
use tokio::time::{Instant, timeout};

use self::slot::{Ages, Found, Held, Slot, Source};
use crate::gate::SharedGate;

/// Most questions that are remembered.
const MAX_KEYS: usize = 1_024;
/// Time without use after which a question is forgotten.
const UNUSED: Duration = Duration::from_secs(600);
/// Shortest time between two questions that are asked because an endpoint could not be reached.
const REVALIDATE_PAUSE: Duration = Duration::from_secs(1);
/// Age up to which an answer that is followed is used as it is: a watch that has died without a word must not go unnoticed
/// for longer.
const FOLLOWED: Duration = Duration::from_secs(120);

/// Remembered answers.
pub struct Cache<S: Source> {
    source: S,
    ages: Ages,
    gate: Arc<SharedGate>,
    born: Instant,
    slots: Mutex<Slots<S>>,
}

/// Hashed the same way in every run, so that a simulation goes through them in the same order. The questions are those of our
/// own agent, which has no reason to make up some that collide.
type Slots<S> = HashMap<<S as Source>::Key, Arc<Slot<S>>, BuildHasherDefault<DefaultHasher>>;
type Asking<V> = tokio::task::JoinHandle<Result<Arc<Held<V>>, Arc<ClientError>>>;

// === impl Cache ===

impl<S: Source> Cache<S> {
    /// An empty cache of `source`, which is behind `gate`.
    pub fn new(source: S, ages: Ages, gate: Arc<SharedGate>) -> Arc<Self> {
        Arc::new(Self { source, ages, gate, born: Instant::now(), slots: Mutex::default() })
    }

    /// The place of `key`, to keep: what is found there later is found without looking for it.
    pub fn slot(&self, key: &S::Key) -> Arc<Slot<S>> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(key) {
            self.note_use(slot, Instant::now());
            return Arc::clone(slot);
        }
        if slots.len() >= MAX_KEYS {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|oldest| slots.remove(&oldest)).iter().for_each(|slot| slot.forget());
        }
        let slot = Arc::new(Slot::new(key.clone()));
        self.note_use(&slot, Instant::now());
        slots.insert(key.clone(), Arc::clone(&slot));
        slot
    }

    /// The answer at `slot`, from memory when it may be, from the registry otherwise.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses the question, and nothing is remembered.
    pub async fn get(self: &Arc<Self>, slot: &Arc<Slot<S>>) -> Result<Found<S::Value>, Arc<ClientError>> {
        let now = Instant::now();
        self.touch(slot, now);
        let held = slot.held.load_full().filter(|held| held.age(now) <= self.ages.stale);
        let Some(held) = held else { return self.first(slot).await };
        let age = held.age(now);
        let (fresh, aging) = self.limits(slot, &held.value);
        if age <= fresh {
            return Ok(held.found(now, false));
        }
        if age <= aging {
            self.ask_behind(slot);
            return Ok(held.found(now, self.gate.is_closed()));
        }
        if self.gate.admits()
            && let Ok(Ok(Ok(newer))) = timeout(self.ages.patience, self.ask(slot)).await
        {
            return Ok(newer.found(Instant::now(), false));
        }
        Ok(held.found(now, true))
    }

    /// Asks behind the scenes if there is no answer yet, and counts as a use.
    pub fn prefetch(self: &Arc<Self>, slot: &Arc<Slot<S>>) {
        self.touch(slot, Instant::now());
        if slot.held.load().is_none() {
            self.ask_behind(slot);
        }
    }

    /// Asks again behind the scenes, because the answer that is remembered led to somebody who is not there.
    pub fn revalidate(self: &Arc<Self>, slot: &Arc<Slot<S>>) {
        if slot.asked().is_none_or(|asked| asked.elapsed() >= REVALIDATE_PAUSE) {
            self.ask_behind(slot);
        }
    }

    /// Asks again and waits, because somebody said that there is a new answer. The answer to a question that was under way
    /// already may be older than that.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn renew(&self, slot: &Slot<S>) -> Result<(), Arc<ClientError>> {
        let _once = slot.asking.lock().await;
        self.fetch(slot).await.map(drop)
    }

    /// Whether a question may be asked now that nobody waits for.
    pub fn may_ask(&self) -> bool {
        self.gate.admits()
    }

    /// Puts an answer in its place that was remembered elsewhere for `age`, unless there is one.
    pub fn restore(&self, key: &S::Key, value: Arc<S::Value>, age: Duration) {
        let at = Instant::now().checked_sub(age);
        if let Some(at) = at.filter(|_| age <= self.ages.stale) {
            let held = Arc::new(Held { value, at });
            self.slot(key).held.compare_and_swap(&None::<Arc<Held<S::Value>>>, Some(held));
        }
    }

    /// Where the answers come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Forgets what was not used for a while, and returns the rest.
    pub fn tidy(&self) -> Vec<Arc<Slot<S>>> {
        let now = self.age_of(Instant::now());
        let unused = UNUSED.as_millis() as u64;
        self.lock().retain(|_, slot| {
            let is_used = now.saturating_sub(slot.used.load(Ordering::Relaxed)) < unused;
            if !is_used {
                slot.forget();
            }
            is_used
        });
        self.slots()
    }

    /// The places of all questions.
    pub fn slots(&self) -> Vec<Arc<Slot<S>>> {
        self.lock().values().cloned().collect()
    }

    fn limits(&self, slot: &Slot<S>, value: &S::Value) -> (Duration, Duration) {
        match slot.is_followed.load(Ordering::Relaxed) && S::is_whole(value) {
            true => (FOLLOWED, FOLLOWED + self.ages.aging),
            false if S::is_empty(value) => (self.ages.negative, self.ages.negative),
            false => (self.ages.fresh, self.ages.aging),
        }
    }

    /// Asks, unless somebody does already or it is not the time for it; nobody waits for the answer.
    fn ask_behind(self: &Arc<Self>, slot: &Arc<Slot<S>>) {
        if slot.asking.try_lock().is_ok() && self.gate.admits() {
            drop(self.ask(slot));
        }
    }

    async fn first(self: &Arc<Self>, slot: &Arc<Slot<S>>) -> Result<Found<S::Value>, Arc<ClientError>> {
        if let Some(fault) = self.gate.refusal() {
            return Err(fault);
        }
        match timeout(self.ages.patience, self.ask(slot)).await {
            Ok(Ok(Ok(held))) => Ok(held.found(Instant::now(), false)),
            Ok(Ok(Err(fault))) => Err(fault),
            Ok(Err(_)) | Err(_) => Err(Arc::new(ClientError::Silent(self.ages.patience))),
        }
    }

    /// Asks in a task of its own, so that the answer is kept even if the caller has no patience left.
    fn ask(self: &Arc<Self>, slot: &Arc<Slot<S>>) -> Asking<S::Value> {
        let (this, slot) = (Arc::clone(self), Arc::clone(slot));
        let seen = slot.held.load_full();
        tokio::spawn(async move {
            let _once = slot.asking.lock().await;
            let held = slot.held.load_full();
            // Somebody else's question was answered while this one waited for its turn.
            if let Some(newer) =
                held.as_ref().filter(|held| !seen.is_some_and(|seen| Arc::ptr_eq(held, &seen)))
            {
                return Ok(Arc::clone(newer));
            }
            this.fetch(&slot).await
        })
    }

    /// Asks. Only for whoever holds `asking`.
    async fn fetch(&self, slot: &Slot<S>) -> Result<Arc<Held<S::Value>>, Arc<ClientError>> {
        slot.note_asked();
        let held = slot.held.load_full().map(|held| Arc::clone(&held.value));
        match self.source.fetch(&slot.key, held).await {
            Ok(value) => {
                self.gate.succeeded();
                let held = Arc::new(Held { value, at: Instant::now() });
                slot.held.store(Some(Arc::clone(&held)));
                Ok(held)
            }
            Err(fault) => Err(self.gate.failed(fault)),
        }
    }

    fn touch(&self, slot: &Arc<Slot<S>>, now: Instant) {
        // Whoever kept the place of a question that was forgotten brings it back.
        if slot.is_forgotten.load(Ordering::Relaxed) && slot.is_forgotten.swap(false, Ordering::Relaxed) {
            self.lock().insert(slot.key.clone(), Arc::clone(slot));
        }
        self.note_use(slot, now);
    }

    fn note_use(&self, slot: &Slot<S>, now: Instant) {
        slot.used.store(self.age_of(now), Ordering::Relaxed);
    }

    fn age_of(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Slots<S>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::gate;

    /// A registry that counts questions and can be away.
    #[derive(Default)]
    struct Script {
        asked: AtomicUsize,
        away: AtomicBool,
        slow: AtomicBool,
    }

    impl Source for Arc<Script> {
        type Key = &'static str;
        type Value = String;

        async fn fetch(
            &self,
            key: &&'static str,
            _: Option<Arc<String>>,
        ) -> Result<Arc<String>, ClientError> {
            let n = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            if self.slow.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            match self.away.load(Ordering::SeqCst) {
                true => Err(ClientError::Silent(Duration::from_secs(1))),
                false if *key == "nobody" => Ok(Arc::new(String::new())),
                false => Ok(Arc::new(format!("{key} {n}"))),
            }
        }

        fn is_empty(value: &String) -> bool {
            value.is_empty()
        }
    }

    const AGES: Ages = Ages {
        fresh: Duration::from_secs(10),
        negative: Duration::from_secs(2),
        aging: Duration::from_secs(60),
        stale: Duration::from_secs(86_400),
        patience: Duration::from_secs(2),
    };

    fn cache() -> (Arc<Script>, Arc<Cache<Arc<Script>>>) {
        let script = Arc::new(Script::default());
        (Arc::clone(&script), Cache::new(script, AGES, Arc::default()))
    }

    async fn value(cache: &Arc<Cache<Arc<Script>>>, key: &'static str) -> String {
        cache.get(&cache.slot(&key)).await.unwrap().value.to_string()
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_fresh_then_refreshed_behind_then_waited_for() {
        let (script, cache) = cache();
        assert_eq!(value(&cache, "a").await, "a 1");
        pass(9).await;
        assert_eq!(value(&cache, "a").await, "a 1");
        pass(11).await;
        assert_eq!(value(&cache, "a").await, "a 1");
        pass(1).await;
        assert_eq!(value(&cache, "a").await, "a 2");
        pass(61).await;
        assert_eq!(value(&cache, "a").await, "a 3");
        assert_eq!(script.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_ask_once() {
        let (script, cache) = cache();
        let calls = (0..100).map(|_| value(&cache, "a"));
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().all(|answer| answer == "a 1"));
        assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_registry_is_away_answers_are_stale_and_nobody_waits() {
        let (script, cache) = cache();
        value(&cache, "a").await;
        script.away.store(true, Ordering::SeqCst);
        pass(3_600).await;
        for _ in 0..100 {
            let began = Instant::now();
            let found = cache.get(&cache.slot(&"a")).await.unwrap();
            assert!(found.is_stale && found.age >= Duration::from_secs(3_600));
            assert!(began.elapsed() < Duration::from_millis(1));
        }
        assert!(script.asked.load(Ordering::SeqCst) <= 3);
        assert!(cache.get(&cache.slot(&"unknown")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_registry_is_found_again_within_the_longest_pause() {
        let (script, cache) = cache();
        value(&cache, "a").await;
        script.away.store(true, Ordering::SeqCst);
        pass(600).await;
        for _ in 0..100 {
            assert!(cache.get(&cache.slot(&"a")).await.unwrap().is_stale);
            pass(1).await;
        }
        script.away.store(false, Ordering::SeqCst);
        pass(gate::PAUSES.1.as_secs()).await;
        assert!(!cache.get(&cache.slot(&"a")).await.unwrap().is_stale);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_registry_costs_the_patience_and_no_more() {
        let (script, cache) = cache();
        value(&cache, "a").await;
        script.slow.store(true, Ordering::SeqCst);
        pass(120).await;
        let began = Instant::now();
        assert_eq!(value(&cache, "a").await, "a 1");
        assert!(began.elapsed() <= AGES.patience + Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_answer_is_believed_for_a_shorter_time() {
        let (script, cache) = cache();
        value(&cache, "nobody").await;
        pass(3).await;
        value(&cache, "nobody").await;
        assert_eq!(script.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn revalidation_is_limited() {
        let (script, cache) = cache();
        value(&cache, "a").await;
        pass(2).await;
        for _ in 0..50 {
            cache.revalidate(&cache.slot(&"a"));
            tokio::task::yield_now().await;
        }
        pass(1).await;
        assert_eq!(script.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_questions_is_bounded() {
        let (_script, cache) = cache();
        for key in 0..MAX_KEYS + 10 {
            let key: &'static str = Box::leak(key.to_string().into_boxed_str());
            cache.get(&cache.slot(&key)).await.unwrap();
        }
        assert_eq!(cache.slots.lock().unwrap().len(), MAX_KEYS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_remembered_elsewhere_serves_until_the_registry_answers() {
        let (script, cache) = cache();
        script.away.store(true, Ordering::SeqCst);
        cache.restore(&"a", Arc::new("restored".to_owned()), Duration::from_secs(60));
        cache.restore(&"b", Arc::new("too old".to_owned()), Duration::from_secs(90_000));
        pass(1).await;
        let found = cache.get(&cache.slot(&"a")).await.unwrap();
        assert!(found.value.as_str() == "restored" && found.is_stale && found.age >= Duration::from_secs(60));
        assert!(cache.get(&cache.slot(&"b")).await.is_err());
        script.away.store(false, Ordering::SeqCst);
        pass(gate::PAUSES.1.as_secs()).await;
        assert_ne!(value(&cache, "a").await, "restored");
    }

    #[tokio::test(start_paused = true)]
    async fn a_followed_answer_is_fresh_until_the_watch_is_doubted() {
        let (script, cache) = cache();
        let slot = cache.slot(&"a");
        value(&cache, "a").await;
        slot.follow(true);
        pass(119).await;
        assert_eq!(value(&cache, "a").await, "a 1");
        cache.renew(&slot).await.unwrap();
        assert_eq!((value(&cache, "a").await.as_str(), script.asked.load(Ordering::SeqCst)), ("a 2", 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_uses_is_forgotten() {
        let (_script, cache) = cache();
        value(&cache, "a").await;
        pass(300).await;
        value(&cache, "b").await;
        pass(301).await;
        let kept: Vec<_> = cache.tidy().iter().map(|slot| slot.key).collect();
        assert_eq!(kept, ["b"]);
    }
}
