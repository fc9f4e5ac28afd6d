//! What the sidecar knows about one endpoint of one agent, shared by all capabilities and queries that lead to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue};
use mesh_client::dice::Dice;
use mesh_mcp::call::Form;
use tokio::time::Instant;

use crate::breaker::{Admission, Breaker, Evidence, StateName};
use crate::dial::{Address, Dialer};
use crate::error::{AttemptError, chain};
use crate::load::{Load, Ticket};
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::wire::RequestHead;

/// Connections to one endpoint, those in use included.
const MAX_OPEN: usize = 256;

/// One endpoint of one agent.
#[derive(Debug)]
pub struct Endpoint {
    /// Whose endpoint it is.
    pub agent_id: String,
    /// The same as the value of a header, if it can be one.
    pub agent_header: Option<HeaderValue>,
    /// What the headers of nearly all answers from here are; written with the first of them.
    pub usual_headers: OnceLock<HeaderMap>,
    /// Its URL.
    pub url: String,
    /// Connections to it.
    pub pool: Arc<Pool>,
    /// How its tools are called, once it is known how it wants to be spoken to.
    pub manner: ArcSwapOption<Manner>,
    /// Held while finding out how it wants to be spoken to, so that this is done once.
    pub handshake: tokio::sync::Mutex<()>,
    /// What happened when a call failed here last.
    last_fault: ArcSwapOption<String>,
    breaker: Mutex<Breaker>,
    in_flight: AtomicUsize,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    metrics: Arc<Metrics>,
}

/// How the tools of one endpoint are called.
#[derive(Debug)]
pub struct Manner {
    /// What the calls have in common.
    pub form: Form,
    /// The same of the heads of their requests.
    pub head: RequestHead,
    /// Whether the server says that it announces changes of its tools.
    pub announces_tools: bool,
}

/// One capability at one endpoint: its load is measured apart, because tools of one agent differ.
#[derive(Debug, Default)]
pub struct Lane {
    load: Mutex<Load>,
}

/// All endpoints that any discovery answer leads to.
pub struct Endpoints {
    dialer: Dialer,
    metrics: Arc<Metrics>,
    /// In one order, so that they are probed in the same order whenever the same happens.
    known: Mutex<BTreeMap<(String, String), Weak<Endpoint>>>,
}

/// A call in flight. Dropping it without an outcome means that the caller went away, which shows nothing.
#[derive(Debug)]
pub struct InFlight {
    occupied: Occupied,
    lane: Arc<Lane>,
    ticket: Ticket,
    is_decided: bool,
}

/// Counts as a call in flight at an endpoint: until the answer has been read to its end.
#[derive(Debug)]
pub struct Occupied(Arc<Endpoint>);

// === impl Endpoint ===

impl Endpoint {
    /// The endpoint of `agent_id` at `url`, of which nothing is known yet.
    pub fn new(agent_id: &str, url: &str, pool: Arc<Pool>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            agent_id: agent_id.to_owned(),
            agent_header: HeaderValue::from_str(agent_id).ok(),
            usual_headers: OnceLock::new(),
            url: url.to_owned(),
            pool,
            manner: ArcSwapOption::empty(),
            handshake: tokio::sync::Mutex::default(),
            last_fault: ArcSwapOption::empty(),
            breaker: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            lanes: Mutex::default(),
            metrics,
        })
    }

    /// What its breaker says.
    pub fn admission(&self) -> Admission {
        self.breaker().admission()
    }

    /// The state of its breaker.
    pub fn breaker_state(&self) -> StateName {
        self.breaker().state()
    }

    /// Calls in flight, of all capabilities.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The measurements of `capability` here.
    pub fn lane(&self, capability: &str) -> Arc<Lane> {
        let mut lanes = lock(&self.lanes);
        Arc::clone(lanes.entry(capability.to_owned()).or_default())
    }

    /// Probes out of band when the breaker's time open is over. Called by the prober.
    pub async fn probe_if_due(&self) {
        if !self.breaker().probe_is_due(Instant::now()) {
            return;
        }
        let outcome = self.pool.reach().await;
        tracing::info!(
            agent.id = self.agent_id,
            endpoint = self.url,
            reached = outcome.is_ok(),
            "a probe was sent to an endpoint whose breaker is open"
        );
        let forgiven = self.breaker().probed(outcome.is_ok(), Instant::now(), &mut Dice);
        if forgiven {
            lock(&self.lanes).values().for_each(|lane| lock(&lane.load).forgive());
        }
    }

    /// Nobody else is left: it should be found out soon whether this one is back.
    pub fn hasten(&self) {
        self.breaker().hasten();
    }

    /// Whether a call of `lane` that is safe to repeat should go here to see whether it has recovered.
    pub fn is_on_trial(&self, lane: &Lane) -> bool {
        self.breaker_state() == StateName::HalfOpen || lock(&lane.load).trial_is_due(Instant::now())
    }

    /// What happened when a call failed here last; why it cannot be called, if that is so.
    pub fn last_fault(&self) -> Option<String> {
        let forbidden = self.pool.refusal().map(|fault| chain(&fault));
        forbidden.or_else(|| self.last_fault.load().as_deref().cloned())
    }

    fn record(&self, evidence: Evidence, now: Instant) {
        let mut breaker = self.breaker();
        if breaker.record(evidence, now, &mut Dice) {
            let state = breaker.state();
            self.metrics.breaker_changed(state);
            tracing::warn!(agent.id = self.agent_id, endpoint = self.url, breaker = ?state, "a circuit breaker changed");
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        lock(&self.breaker)
    }
}

// === impl Lane ===

impl Lane {
    /// The number to compare: lower is better.
    pub fn score(&self, endpoint: &Endpoint, weight: f64, median: Duration) -> f64 {
        lock(&self.load).score(endpoint.in_flight(), weight, median, Instant::now())
    }

    /// The moving average of the latency, if anything was measured.
    pub fn latency(&self, median: Duration) -> Option<Duration> {
        let load = lock(&self.load);
        load.is_measured().then(|| load.latency(median, Instant::now()))
    }

    /// The memory of failures, 0 to 1.
    pub fn failure(&self) -> f64 {
        lock(&self.load).failure_now(Instant::now())
    }
}

// === impl Endpoints ===

impl Endpoints {
    /// No endpoints yet.
    pub fn new(dialer: Dialer, metrics: Arc<Metrics>) -> Self {
        Self { dialer, metrics, known: Mutex::default() }
    }

    /// The endpoint of `agent_id` at `url`, with everything that is known about it from before.
    ///
    /// # Errors
    /// Why the URL cannot be called.
    pub fn get(&self, agent_id: &str, url: &str) -> Result<Arc<Endpoint>, String> {
        let mut known = lock(&self.known);
        let key = (agent_id.to_owned(), url.to_owned());
        if let Some(endpoint) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(endpoint);
        }
        let pool = Pool::new(Address::parse(url)?, self.dialer.clone(), MAX_OPEN);
        let endpoint = Endpoint::new(agent_id, url, pool, Arc::clone(&self.metrics));
        known.retain(|_, endpoint| endpoint.strong_count() > 0);
        known.insert(key, Arc::downgrade(&endpoint));
        Ok(endpoint)
    }

    /// All endpoints in use.
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        lock(&self.known).values().filter_map(Weak::upgrade).collect()
    }
}

// === impl InFlight ===

impl InFlight {
    /// Notes that a call of `lane` goes to `endpoint` now.
    pub fn begin(endpoint: &Arc<Endpoint>, lane: &Arc<Lane>, now: Instant) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        endpoint.breaker().begin();
        let ticket = lock(&lane.load).begin(now);
        Self { occupied: Occupied(Arc::clone(endpoint)), lane: Arc::clone(lane), ticket, is_decided: false }
    }

    /// The call was answered; the answer may still be on its way.
    pub fn succeed(mut self, median: Duration) -> Occupied {
        self.is_decided = true;
        let now = Instant::now();
        lock(&self.lane.load).succeed(self.ticket, median, now);
        self.occupied.0.record(Evidence::Success, now);
        self.occupied.again()
    }

    /// The call failed. What the peer answered all the same may still be on its way.
    pub fn fail(mut self, fault: &AttemptError) -> Occupied {
        self.is_decided = true;
        let endpoint = &self.occupied.0;
        if fault.blames_peer() {
            lock(&self.lane.load).fail(self.ticket, Instant::now());
            endpoint.last_fault.store(Some(Arc::new(chain(fault))));
        } else {
            lock(&self.lane.load).abandon(self.ticket);
        }
        match fault.evidence() {
            Some(evidence) => endpoint.record(evidence, Instant::now()),
            None => endpoint.breaker().abandon(),
        }
        self.occupied.again()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.is_decided {
            lock(&self.lane.load).abandon(self.ticket);
            self.occupied.0.breaker().abandon();
        }
    }
}

// === impl Occupied ===

impl Occupied {
    fn again(&self) -> Self {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// None of these critical sections can leave its data half-changed, so a poisoned lock is as good as a sound one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
