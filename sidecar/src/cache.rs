//! Answers of the registry that outlive the registry: fresh, then served while they are refreshed behind, then
//! refreshed with patience, and served stale while the registry is away.
//!
//! One question is asked once at a time, however many calls wait for its answer. While the registry is away a
//! gate lets one question through now and then; everybody else is served from memory without waiting.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mesh_client::backoff::Backoff;
use mesh_client::error::ClientError;
use tokio::time::{Instant, timeout};

/// Most questions that are remembered.
const MAX_KEYS: usize = 1_024;
/// Shortest time between two questions that are asked because an endpoint could not be reached.
const REVALIDATE_PAUSE: Duration = Duration::from_secs(1);
/// First and longest pause between questions while the registry is away.
const GATE_PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Where answers come from.
pub trait Source: Send + Sync + 'static {
    /// A question.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    /// Its answer.
    type Value: Send + Sync + 'static;

    /// Asks; `held` is the answer from before, which may be given again when the new one cannot be trusted.
    fn fetch(
        &self,
        key: &Self::Key,
        held: Option<Arc<Self::Value>>,
    ) -> impl Future<Output = Result<Arc<Self::Value>, ClientError>> + Send;

    /// Whether the answer is an empty one, which is believed for a shorter time.
    fn is_empty(value: &Self::Value) -> bool;
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// Served without a question.
    pub fresh: Duration,
    /// The same for an empty answer.
    pub negative: Duration,
    /// Served, and refreshed behind.
    pub aging: Duration,
    /// Served only while the registry is away.
    pub stale: Duration,
    /// How long a call waits for an answer that is older, or for the first one.
    pub patience: Duration,
}

/// Remembered answers.
pub struct Cache<S: Source> {
    source: S,
    ages: Ages,
    gate: Gate,
    slots: Mutex<Slots<S>>,
}

/// An answer and how old it is.
#[derive(Debug)]
pub struct Found<V> {
    /// The answer.
    pub value: Arc<V>,
    /// Its age.
    pub age: Duration,
    /// Whether it is past its time and the registry cannot be asked for a newer one.
    pub is_stale: bool,
}

struct Slot<V> {
    held: ArcSwapOption<Held<V>>,
    /// Held while asking, so that a question is asked once at a time.
    asking: tokio::sync::Mutex<()>,
    times: Mutex<Times>,
}

struct Times {
    used: Instant,
    asked: Option<Instant>,
}

struct Held<V> {
    value: Arc<V>,
    at: Instant,
}

/// Lets one question through now and then while the registry is away.
#[derive(Debug)]
struct Gate {
    state: Mutex<GateState>,
}

#[derive(Debug)]
struct GateState {
    closed: Option<(Instant, Arc<ClientError>)>,
    backoff: Backoff,
}

// === impl Cache ===

impl<S: Source> Cache<S> {
    /// An empty cache of `source`.
    pub fn new(source: S, ages: Ages) -> Arc<Self> {
        let backoff = Backoff::new(GATE_PAUSES.0, GATE_PAUSES.1);
        let gate = Gate { state: Mutex::new(GateState { closed: None, backoff }) };
        Arc::new(Self { source, ages, gate, slots: Mutex::default() })
    }

    /// The answer to `key`, from memory when it may be, from the registry otherwise.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses the question, and nothing is remembered.
    pub async fn get(self: &Arc<Self>, key: &S::Key) -> Result<Found<S::Value>, Arc<ClientError>> {
        let slot = self.slot(key);
        let Some(held) = slot.held.load_full().filter(|held| held.at.elapsed() <= self.ages.stale) else {
            return self.first(key, &slot).await;
        };
        let fresh = if S::is_empty(&held.value) { self.ages.negative } else { self.ages.fresh };
        match held.at.elapsed() {
            age if age <= fresh => return Ok(self.found(&held, false)),
            age if age <= self.ages.aging && !S::is_empty(&held.value) => self.ask_behind(key, &slot),
            _ if self.gate.lets_through() => {
                if let Ok(Ok(Ok(held))) = timeout(self.ages.patience, self.ask(key, &slot)).await {
                    return Ok(self.found(&held, false));
                }
            }
            _ => {}
        }
        Ok(self.found(&held, self.gate.is_closed()))
    }

    /// Asks again behind the scenes, because the answer that is remembered led to somebody who is not there.
    pub fn revalidate(self: &Arc<Self>, key: &S::Key) {
        let slot = self.slot(key);
        let asked = slot.times().asked;
        if asked.is_none_or(|asked| asked.elapsed() >= REVALIDATE_PAUSE) {
            self.ask_behind(key, &slot);
        }
    }

    /// Asks, unless somebody does already or the registry is away; nobody waits for the answer.
    fn ask_behind(self: &Arc<Self>, key: &S::Key, slot: &Arc<Slot<S::Value>>) {
        if slot.asking.try_lock().is_ok() && self.gate.lets_through() {
            drop(self.ask(key, slot));
        }
    }

    async fn first(
        self: &Arc<Self>,
        key: &S::Key,
        slot: &Arc<Slot<S::Value>>,
    ) -> Result<Found<S::Value>, Arc<ClientError>> {
        if let Some(fault) = self.gate.refusal() {
            return Err(fault);
        }
        match timeout(self.ages.patience, self.ask(key, slot)).await {
            Ok(Ok(Ok(held))) => Ok(self.found(&held, false)),
            Ok(Ok(Err(fault))) => Err(fault),
            Ok(Err(_)) | Err(_) => Err(Arc::new(ClientError::Silent(self.ages.patience))),
        }
    }

    /// Asks in a task of its own, so that the answer is kept even if the caller has no patience left.
    fn ask(self: &Arc<Self>, key: &S::Key, slot: &Arc<Slot<S::Value>>) -> Asking<S::Value> {
        let (this, key, slot) = (Arc::clone(self), key.clone(), Arc::clone(slot));
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
            slot.times().asked = Some(Instant::now());
            match this.source.fetch(&key, held.map(|held| Arc::clone(&held.value))).await {
                Ok(value) => {
                    this.gate.open();
                    let held = Arc::new(Held { value, at: Instant::now() });
                    slot.held.store(Some(Arc::clone(&held)));
                    Ok(held)
                }
                Err(fault) => Err(this.gate.note(fault)),
            }
        })
    }

    fn found(&self, held: &Held<S::Value>, is_stale: bool) -> Found<S::Value> {
        Found { value: Arc::clone(&held.value), age: held.at.elapsed(), is_stale }
    }

    fn slot(&self, key: &S::Key) -> Arc<Slot<S::Value>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            slot.times().used = Instant::now();
            return Arc::clone(slot);
        }
        if slots.len() >= MAX_KEYS {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.times().used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| slots.remove(&oldest));
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

type Slots<S> = HashMap<<S as Source>::Key, Arc<Slot<<S as Source>::Value>>>;
type Asking<V> = tokio::task::JoinHandle<Result<Arc<Held<V>>, Arc<ClientError>>>;

// === impl Slot ===

impl<V> Default for Slot<V> {
    fn default() -> Self {
        let times = Times { used: Instant::now(), asked: None };
        Self { held: ArcSwapOption::empty(), asking: tokio::sync::Mutex::default(), times: Mutex::new(times) }
    }
}

impl<V> Slot<V> {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Gate ===

impl Gate {
    fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }

    /// Whether a question may be asked now. While closed, one passes after each pause.
    fn lets_through(&self) -> bool {
        self.refusal().is_none()
    }

    /// As [`Self::lets_through`]; says why not.
    fn refusal(&self) -> Option<Arc<ClientError>> {
        let mut state = self.state();
        let (until, fault) = state.closed.clone()?;
        if Instant::now() < until {
            return Some(fault);
        }
        state.close(fault);
        None
    }

    fn open(&self) {
        let mut state = self.state();
        state.closed = None;
        state.backoff.reset();
    }

    /// Closes after an outage. A refusal of the question is no outage.
    fn note(&self, fault: ClientError) -> Arc<ClientError> {
        let fault = Arc::new(fault);
        if fault.is_outage() {
            self.state().close(Arc::clone(&fault));
        }
        fault
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GateState {
    fn close(&mut self, fault: Arc<ClientError>) {
        let pause = self.backoff.pause(&mut rand::rng());
        self.closed = Some((Instant::now() + pause, fault));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

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
        (Arc::clone(&script), Cache::new(script, AGES))
    }

    async fn value(cache: &Arc<Cache<Arc<Script>>>, key: &'static str) -> String {
        cache.get(&key).await.unwrap().value.to_string()
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
            let found = cache.get(&"a").await.unwrap();
            assert!(found.is_stale && found.age >= Duration::from_secs(3_600));
            assert!(began.elapsed() < Duration::from_millis(1));
        }
        assert!(script.asked.load(Ordering::SeqCst) <= 3);
        assert!(cache.get(&"unknown").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_registry_is_found_again_within_the_longest_pause() {
        let (script, cache) = cache();
        value(&cache, "a").await;
        script.away.store(true, Ordering::SeqCst);
        pass(600).await;
        for _ in 0..100 {
            assert!(cache.get(&"a").await.unwrap().is_stale);
            pass(1).await;
        }
        script.away.store(false, Ordering::SeqCst);
        pass(GATE_PAUSES.1.as_secs()).await;
        assert!(!cache.get(&"a").await.unwrap().is_stale);
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
            cache.revalidate(&"a");
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
            cache.get(&key).await.unwrap();
        }
        assert_eq!(cache.slots.lock().unwrap().len(), MAX_KEYS);
    }
}
