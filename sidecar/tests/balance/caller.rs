//! One simulated sidecar: the real balancer, load, breaker and retry, used as the path of a call uses them.
//!
//! What stands in for I/O mirrors `outbound`, `routing`, `endpoint`, `discovery` and `prober`, in the same order and
//! with the same numbers. A change there that matters to balancing belongs here too.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mesh_api::health::Status;
use mesh_sidecar::balancer::{self, Candidate, Scales};
use mesh_sidecar::breaker::{Admission, Evidence};
use mesh_sidecar::load::{PRIOR, Ticket};
use mesh_sidecar::retry::{Budget, Decision, Policy, Reached};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use crate::choice::{Choice, Setup};
use crate::endpoint::Endpoint;

/// Repeats of one call at most: the default of `max_retries`.
const MAX_RETRIES: u32 = 2;
/// How long a discovery answer is used as it is.
const FRESH: Duration = Duration::from_secs(10);
/// How long after that it is used while it is refreshed behind.
const AGING: Duration = Duration::from_secs(50);
/// Shortest time for a trial, and how many times the median of the others.
const TRIAL: (Duration, u32) = (Duration::from_secs(1), 10);
/// How long a computed median is used.
const MEDIAN_KEPT: Duration = Duration::from_millis(100);

/// One sidecar and what it knows.
pub(crate) struct Caller {
    setup: Setup,
    /// One for each agent that will ever be there; which of them are known, the providers say.
    endpoints: Vec<Endpoint>,
    providers: Rc<Providers>,
    fresh_until: Instant,
    budget: Budget,
    in_flight: usize,
    rng: SmallRng,
}

/// An answer of discovery: the first so many agents, and their median while it is kept.
pub(crate) struct Providers {
    agents: usize,
    median: Cell<Option<(Instant, Duration)>>,
}

/// A call as its sidecar sees it.
pub(crate) struct Call {
    providers: Rc<Providers>,
    tried: Vec<usize>,
    /// When it must be over.
    pub(crate) deadline: Instant,
}

/// An attempt in flight.
pub(crate) struct Attempt {
    /// Where.
    pub(crate) agent: usize,
    /// When it must be answered.
    pub(crate) deadline: Instant,
    ticket: Ticket,
    began: Instant,
}

/// What the real balancer compares.
struct Measured<'e> {
    known: &'e [Endpoint],
    choice: Choice,
    median: Duration,
    now: Instant,
}

impl Scales for Measured<'_> {
    fn score(&self, index: usize) -> f64 {
        self.choice.score(&self.known[index], self.median, self.now)
    }

    fn busy(&self, index: usize) -> f64 {
        self.known[index].in_flight as f64 + 1.0
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn turn(&self) -> usize {
        0
    }
}

// === impl Caller ===

impl Caller {
    /// A sidecar that knows the first `present` of so many `agents` and has not called them yet.
    pub(crate) fn new(setup: Setup, agents: usize, present: usize, seed: u64, now: Instant) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        Self {
            setup,
            endpoints: (0..agents).map(|_| Endpoint::new(now)).collect(),
            providers: Providers::new(present),
            // Sidecars did not all start at once.
            fresh_until: now + FRESH.mul_f64(rng.random()),
            budget: Budget::new(now),
            in_flight: 0,
            rng,
        }
    }

    /// Begins a call that has time until `deadline`, while the registry knows the first `present` agents.
    pub(crate) fn begin(&mut self, present: usize, deadline: Instant, now: Instant) -> Call {
        self.in_flight += 1;
        let providers = self.resolve(present, now);
        self.budget.deposit(self.in_flight, now);
        Call { providers, tried: Vec::new(), deadline }
    }

    /// Chooses where the next attempt of `call` goes, and notes it. `None` when all are out.
    pub(crate) fn attempt(&mut self, call: &Call, now: Instant) -> Option<Attempt> {
        let median = self.median(&call.providers, now);
        let known = &self.endpoints[..call.providers.agents];
        let candidates: Vec<_> =
            known.iter().enumerate().map(|(i, one)| self.candidate(one, call.tried.contains(&i))).collect();
        let on_trial = |i: usize| self.setup.is_whole() && known[i].is_on_trial(now);
        let scales = Measured { known, choice: self.setup.choice(), median, now };
        let verdicts = balancer::judge(&candidates);
        let choice = balancer::pick(Default::default(), &verdicts, on_trial, &scales, &mut self.rng)?;
        let has_alternative = call.providers.agents > call.tried.len().max(1);
        let trial_ends = now + TRIAL.0.max(median * TRIAL.1);
        let deadline =
            if choice.is_trial && has_alternative { call.deadline.min(trial_ends) } else { call.deadline };
        let endpoint = &mut self.endpoints[choice.index];
        endpoint.in_flight += 1;
        endpoint.breaker.begin();
        Some(Attempt { agent: choice.index, ticket: endpoint.load.begin(now), began: now, deadline })
    }

    /// Notes that an attempt was answered.
    pub(crate) fn answered(&mut self, call: &Call, attempt: &Attempt, now: Instant) {
        let median = self.median(&call.providers, now);
        self.endpoints[attempt.agent].load.succeed(attempt.ticket, median, now);
        self.record(attempt, Evidence::Success, now);
    }

    /// Notes that an attempt failed after it was sent. The pause before the next one, if there is one.
    pub(crate) fn failed(
        &mut self,
        call: &mut Call,
        attempt: &Attempt,
        evidence: Evidence,
        now: Instant,
    ) -> Option<Duration> {
        self.endpoints[attempt.agent].load.fail(attempt.ticket, now);
        self.record(attempt, evidence, now);
        call.tried.push(attempt.agent);
        let policy = Policy {
            max_retries: MAX_RETRIES,
            safe: self.setup.is_whole(),
            can_repeat: true,
            has_alternative: call.providers.agents > call.tried.len(),
            asked_pause: None,
            deadline: call.deadline,
        };
        let attempts = u32::try_from(call.tried.len()).unwrap();
        match policy.decide(attempts, Reached::Peer, &mut self.budget, now, &mut self.rng) {
            Decision::Retry(pause) => Some(pause),
            Decision::Stop(_) => None,
        }
    }

    /// Notes that a call is over.
    pub(crate) fn end(&mut self) {
        self.in_flight -= 1;
    }

    /// Probes whom the prober would probe. All can be connected to, whatever else they suffer.
    pub(crate) fn probe(&mut self, now: Instant) {
        for endpoint in &mut self.endpoints {
            if endpoint.breaker.probe_is_due(now) && endpoint.breaker.probed(true, now, &mut self.rng) {
                endpoint.load.forgive();
            }
        }
    }

    /// The providers of a call that begins now. An answer that ages is used once more, and then the new one.
    fn resolve(&mut self, present: usize, now: Instant) -> Rc<Providers> {
        let held = Rc::clone(&self.providers);
        if now <= self.fresh_until {
            return held;
        }
        let is_too_old = now > self.fresh_until + AGING;
        (self.providers, self.fresh_until) = (self.providers.after(present), now + FRESH);
        if is_too_old { Rc::clone(&self.providers) } else { held }
    }

    fn median(&self, providers: &Providers, now: Instant) -> Duration {
        let kept = providers.median.get();
        if let Some((at, median)) = kept
            && now.duration_since(at) < MEDIAN_KEPT
        {
            return median;
        }
        let before = kept.map_or(PRIOR, |(_, median)| median);
        let known = self.endpoints[..providers.agents].iter().map(|endpoint| &endpoint.load);
        let mut measured: Vec<_> =
            known.filter(|load| load.is_measured()).map(|load| load.latency(before, now)).collect();
        measured.sort_unstable();
        let median = measured.get(measured.len() / 2).copied().unwrap_or(PRIOR);
        providers.median.set(Some((now, median)));
        median
    }

    fn candidate(&self, endpoint: &Endpoint, tried: bool) -> Candidate {
        let admission =
            if self.setup.is_whole() { endpoint.breaker.admission() } else { Admission::Admitted };
        Candidate {
            status: Status::Healthy,
            weight: 1.0,
            admission,
            is_self: false,
            is_forbidden: false,
            is_aside: false,
            tried,
        }
    }

    fn record(&mut self, attempt: &Attempt, evidence: Evidence, now: Instant) {
        let endpoint = &mut self.endpoints[attempt.agent];
        endpoint.in_flight -= 1;
        endpoint.peak.sample(now.duration_since(attempt.began), now);
        if self.setup.is_whole() {
            endpoint.breaker.record(evidence, now, &mut self.rng);
        }
    }
}

// === impl Providers ===

impl Providers {
    fn new(agents: usize) -> Rc<Self> {
        Rc::new(Self { agents, median: Cell::default() })
    }

    /// The next answer, which measures from where this one has come to.
    fn after(&self, agents: usize) -> Rc<Self> {
        Rc::new(Self { agents, median: self.median.clone() })
    }
}

// === impl Call ===

impl Call {
    /// Attempts that failed.
    pub(crate) fn failed_attempts(&self) -> usize {
        self.tried.len()
    }
}
