//! A call under way: what it has tried, one attempt after the other, and two at once when the first takes long.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use mesh_client::dice::Dice;
use mesh_daemon::alarm::Alarms;
use tokio::time::{Instant, sleep};

use crate::cache::slot::Found;
use crate::endpoint::{Endpoint, InFlight, Occupied};
use crate::errand::{AttemptReport, Errand, Fallen, Stamp};
use crate::error::{AttemptError, chain};
use crate::metrics::{ANSWERED, Metrics};
use crate::passport::Passport;
use crate::places::{Held, Place};
use crate::provider::{Provider, Providers};
use crate::retry::{Decision, Policy, Reached};
use crate::routing::{Picked, Routing, Wish};
use crate::target::Target;

/// Shortest time for a call that tries whether a provider has recovered, and how many times the median of the others: a
/// provider that hangs must not cost it all of its time, as there are others that are well.
const TRIAL: (Duration, u32) = (Duration::from_secs(1), 10);

/// What every call needs on its way.
pub struct Ways {
    /// Where it can go.
    pub routing: Arc<Routing>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What limits the time of attempts.
    pub alarms: Alarms,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// What is asked for.
    pub target: Arc<Target>,
    /// What the caller says about it.
    pub passport: Passport,
    /// The provider of the caller's session.
    pub pinned: Option<String>,
    /// Whether executing it twice is as good as once, whoever executes it.
    pub is_safe_to_repeat: bool,
}

/// What a call brought back.
#[derive(Debug)]
pub struct Reply<A> {
    /// The answer.
    pub answer: A,
    /// Who served it.
    pub endpoint: Arc<Endpoint>,
    /// How many attempts it took.
    pub attempts: u32,
    /// How old the discovery answer was.
    pub age: Duration,
    /// Whether that was because the registry is away.
    pub is_stale: bool,
    /// The places that it takes until it has been read to its end.
    pub held: Held,
}

/// A call under way.
pub struct Course<'c, E> {
    ways: &'c Ways,
    call: &'c Call,
    errand: &'c E,
    deadline: Instant,
    branch: Option<usize>,
    /// Whether the tool's hints hold for it.
    trusts_hints: bool,
    found: Found<Providers>,
    /// Attempts begun.
    begun: AtomicU32,
    /// Agents tried.
    tried: Vec<String>,
}

/// What became of an attempt.
pub struct Attempted<'p, A> {
    /// Where it went.
    pub provider: &'p Provider,
    /// What came back.
    pub outcome: Result<A, Fallen<A>>,
    /// The place that it takes there.
    pub occupied: Occupied,
    failed_after: Option<Duration>,
}

/// An attempt, and another one that had failed before when there were two.
type Attempts<'p, A> = (Attempted<'p, A>, Option<Attempted<'p, A>>);

// === impl Course ===

impl<'c, E: Errand> Course<'c, E> {
    /// A call that must be answered by `deadline`, by one of the providers `found`.
    pub fn new(
        ways: &'c Ways,
        call: &'c Call,
        errand: &'c E,
        found: Found<Providers>,
        deadline: Instant,
    ) -> Self {
        let branch = ways.routing.branch(&call.target, call.passport.affinity.as_deref());
        let trusts_hints = errand.is_call_of(&call.target.name);
        Self {
            ways,
            call,
            errand,
            deadline,
            branch,
            trusts_hints,
            found,
            begun: AtomicU32::new(0),
            tried: Vec::new(),
        }
    }

    /// Who offers what is asked for.
    pub fn providers(&self) -> Arc<Providers> {
        Arc::clone(&self.found.value)
    }

    /// What it wants of its next provider.
    pub fn wish(&self) -> Wish<'_> {
        Wish {
            tried: &self.tried,
            affinity: self.call.passport.affinity.as_deref(),
            pinned: self.call.pinned.as_deref(),
            branch: self.branch,
            is_safe: self.call.is_safe_to_repeat,
            trusts_hints: self.trusts_hints,
        }
    }

    /// An attempt at the provider that was picked.
    pub async fn attempt<'p>(&self, providers: &'p Providers, picked: Picked<'p>) -> Attempts<'p, E::Answer> {
        match self.hedge_delay(picked.provider) {
            None => (self.attempt_at(picked).await, None),
            // Boxed, so that the rare way does not make the future of every call three times as large.
            Some(delay) => Box::pin(self.attempt_hedged(providers, picked, delay)).await,
        }
    }

    /// One attempt, with its outcome noted at the endpoint. A call that is dropped here is noted as abandoned.
    async fn attempt_at<'p>(&self, picked: Picked<'p>) -> Attempted<'p, E::Answer> {
        let provider = picked.provider;
        let began = Instant::now();
        let median = self.found.value.median_latency(began);
        let is_short = picked.is_trial && self.has_alternative();
        let trial_ends = is_short.then(|| began + TRIAL.0.max(median * TRIAL.1));
        let deadline = trial_ends.map_or(self.deadline, |ends| ends.min(self.deadline));
        let in_flight = InFlight::begin(&provider.endpoint, &provider.lane, began);
        let attempt = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let stamp = Stamp { passport: &self.call.passport, attempt, deadline, alarms: &self.ways.alarms };
        let outcome = self.errand.attempt(&provider.endpoint, &provider.tool, stamp).await;
        let occupied = match &outcome {
            Ok(_) => in_flight.succeed(median),
            Err(fallen) => in_flight.fail(&fallen.fault),
        };
        let shared = &self.call.target.shared;
        if outcome.is_ok() && shared.terms.hedge.is_some() {
            shared.hedging().observe(began.elapsed());
        }
        let label = outcome.as_ref().map_or_else(|fallen| fallen.fault.label(), |_| ANSWERED);
        self.ways.metrics.attempt_ended(label);
        let failed_after = outcome.is_err().then(|| began.elapsed());
        Attempted { provider, outcome, occupied, failed_after }
    }

    /// When the call gets a second attempt beside the first, if it may.
    fn hedge_delay(&self, provider: &Provider) -> Option<Duration> {
        let hedge = self.call.target.shared.terms.hedge?;
        let may = self.is_safe(provider) && self.errand.can_race() && self.call.pinned.is_none();
        if may { self.call.target.shared.hedging().delay(hedge) } else { None }
    }

    /// An attempt that gets another one beside it when it takes long. Whoever answers first wins; the other one is
    /// dropped, which cancels it. Returns the one that decides, and the other one if that had failed before.
    async fn attempt_hedged<'p>(
        &self,
        providers: &'p Providers,
        picked: Picked<'p>,
        delay: Duration,
    ) -> Attempts<'p, E::Answer> {
        let has_begun = AtomicBool::new(false);
        let first = pin!(self.attempt_at(picked));
        let second = pin!(async {
            sleep(delay).await;
            let other = self.second_choice(providers, picked.provider)?;
            has_begun.store(true, Ordering::Relaxed);
            Some(self.attempt_at(other).await)
        });
        match select(first, second).await {
            Either::Left((first, second)) if first.outcome.is_err() && has_begun.load(Ordering::Relaxed) => {
                match second.await {
                    Some(second) => (second, Some(first)),
                    None => (first, None),
                }
            }
            Either::Left((first, _)) => (first, None),
            Either::Right((None, first)) => (first.await, None),
            Either::Right((Some(second), first)) if second.outcome.is_err() => (first.await, Some(second)),
            Either::Right((Some(second), _)) => (second, None),
        }
    }

    /// Who gets the second attempt beside one at `first`, if there is somebody else and it can be afforded.
    fn second_choice<'p>(&self, providers: &'p Providers, first: &Provider) -> Option<Picked<'p>> {
        let mut tried = self.tried.clone();
        tried.push(first.endpoint.agent_id.clone());
        let wish = Wish { tried: &tried, affinity: None, ..self.wish() };
        let other = self.ways.routing.pick(&self.call.target, providers, wish).ok()?;
        let is_another = !tried.contains(&other.provider.endpoint.agent_id);
        let granted =
            is_another && self.is_safe(other.provider) && self.call.target.shared.hedging().withdraw();
        granted.then(|| {
            self.ways.metrics.hedged();
            other
        })
    }

    /// Notes what became of an attempt.
    pub fn note(&mut self, attempted: &Attempted<'_, E::Answer>, failed: &mut Vec<AttemptReport>) {
        if let Err(fallen) = &attempted.outcome {
            let endpoint = &attempted.provider.endpoint;
            failed.push(AttemptReport {
                agent_id: endpoint.agent_id.clone(),
                endpoint: endpoint.url.clone(),
                cause: chain(&fallen.fault),
                ms: u64::try_from(attempted.failed_after.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            });
            self.tried.push(endpoint.agent_id.clone());
        }
    }

    /// Whether a failed attempt is followed by another.
    pub fn decide(&self, provider: &Provider, fault: &AttemptError, max_retries: u32) -> Decision {
        let target = &self.call.target;
        let policy = Policy {
            max_retries: target.shared.terms.retries.unwrap_or(max_retries),
            safe: self.is_safe(provider),
            can_repeat: self.errand.can_repeat(),
            has_alternative: self.has_alternative(),
            asked_pause: fault.asked_pause(),
            deadline: self.deadline,
        };
        let attempts = self.tried.len() as u32;
        let (now, reached) = (Instant::now(), fault.reached());
        let decision = policy.decide(attempts, reached, &mut target.shared.budget(), now, &mut Dice);
        if reached == Reached::Nobody {
            self.ways.routing.doubt(target);
        }
        tracing::info!(
            capability = target.name,
            agent.id = provider.endpoint.agent_id,
            endpoint = provider.endpoint.url,
            fault = chain(fault),
            decision = decision.as_words(),
            "an attempt failed"
        );
        decision
    }

    /// What the call brought back.
    pub fn reply(
        &self,
        provider: &Provider,
        answer: E::Answer,
        place: Place,
        occupied: Occupied,
    ) -> Reply<E::Answer> {
        Reply {
            answer,
            endpoint: Arc::clone(&provider.endpoint),
            attempts: self.begun.load(Ordering::Relaxed),
            age: self.found.age,
            is_stale: self.found.is_stale,
            held: Held::new(place, occupied),
        }
    }

    fn is_safe(&self, provider: &Provider) -> bool {
        self.call.is_safe_to_repeat || (self.trusts_hints && provider.is_safe_to_repeat)
    }

    fn has_alternative(&self) -> bool {
        self.call.pinned.is_none() && self.found.value.list.len() > self.tried.len().max(1)
    }
}
