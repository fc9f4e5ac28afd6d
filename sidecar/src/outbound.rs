//! One call, top to bottom: place -> resolve -> pick -> attempt -> (retry) -> reply.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_api::query::CapabilityQuery;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::cache::Found;
use crate::discovery::{Provider, Providers};
use crate::endpoint::InFlight;
use crate::error::{AttemptError, AttemptReport, CallError, chain};
use crate::forward::{self, Answer};
use crate::metrics::Metrics;
use crate::retry::{Budget, Decision, Denied, Policy, Reached};
use crate::routing::{Routing, name};

/// Most capabilities with a retry budget of their own; the rest share one.
const MAX_BUDGETS: usize = 1_024;

/// Carries calls out.
pub struct Outbound {
    routing: Arc<Routing>,
    limits: Limits,
    budgets: Mutex<HashMap<String, Budget>>,
    in_flight: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// What all calls of this sidecar have in common.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Repeats of one call at most.
    pub max_retries: u32,
    /// Calls in flight at most.
    pub max_in_flight: usize,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Which capability, of whom.
    pub query: CapabilityQuery,
    /// The arguments, byte for byte.
    pub arguments: Box<RawValue>,
    /// Time for everything.
    pub timeout: Duration,
    /// Whether the caller vouches that executing it twice is as good as once.
    pub is_safe_to_repeat: bool,
}

/// What a call brought back.
#[derive(Debug)]
pub struct Reply {
    /// The tool's result, byte for byte.
    pub result: Box<RawValue>,
    /// Who served it.
    pub agent_id: String,
    /// How many attempts it took.
    pub attempts: usize,
    /// How old the discovery answer was.
    pub age: Duration,
    /// Whether that was because the registry is away.
    pub is_stale: bool,
}

/// Why a call failed, and what was tried.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: CallError,
    /// What was tried.
    pub attempts: Vec<AttemptReport>,
}

/// A place among the calls in flight.
struct Place<'o>(&'o Outbound);

// === impl Outbound ===

impl Outbound {
    /// Sends calls where `routing` says.
    pub fn new(routing: Arc<Routing>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { routing, limits, budgets: Mutex::default(), in_flight: AtomicUsize::new(0), metrics }
    }

    /// Carries out one call.
    ///
    /// # Errors
    /// Why it failed, and what was tried.
    pub async fn call(&self, call: &Call) -> Result<Reply, Failure> {
        let began = Instant::now();
        let mut attempts = Vec::new();
        let outcome = self.carry_out(call, began + call.timeout, &mut attempts).await;
        self.note(call, &outcome, attempts.len(), began.elapsed());
        outcome.map_err(|error| Failure { error, attempts })
    }

    async fn carry_out(
        &self,
        call: &Call,
        deadline: Instant,
        failed: &mut Vec<AttemptReport>,
    ) -> Result<Reply, CallError> {
        let _place = self.take_place()?;
        let resolving = timeout_at(deadline, self.routing.resolve(&call.query));
        let found = resolving.await.map_err(|_| CallError::Deadline(call.timeout))??;
        self.with_budget(call, |budget| {
            budget.deposit(self.in_flight.load(Ordering::Relaxed), Instant::now())
        });
        loop {
            let tried: Vec<_> = failed.iter().map(|one| one.agent_id.as_str()).collect();
            let provider = self.routing.pick(&call.query, &found.value, &tried, call.is_safe_to_repeat)?;
            let began = Instant::now();
            let fault = match self.attempt(provider, call, &found.value, deadline).await {
                Ok(Answer::Result(result)) => return Ok(reply(result, provider, failed.len() + 1, &found)),
                Ok(Answer::Error(error)) => {
                    return Err(CallError::Refused { agent: provider.endpoint.agent_id.clone(), error });
                }
                Err(fault) => fault,
            };
            failed.push(report(provider, &fault, began.elapsed()));
            let policy = Policy {
                max_retries: self.limits.max_retries,
                safe: call.is_safe_to_repeat || provider.is_safe_to_repeat,
                has_alternative: found.value.list.len() > failed.len(),
                deadline,
            };
            match self.decide(call, provider, &fault, failed.len(), policy) {
                Decision::Retry(pause) => sleep(pause).await,
                Decision::Stop(denied) => return Err(self.give_up(call, provider, fault, denied)),
            }
        }
    }

    fn take_place(&self) -> Result<Place<'_>, CallError> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        if before >= self.limits.max_in_flight {
            return Err(CallError::Overloaded(self.limits.max_in_flight));
        }
        self.metrics.in_flight(before + 1);
        Ok(place)
    }

    /// One attempt, with its outcome noted at the endpoint. A call that is dropped here is noted as abandoned.
    async fn attempt(
        &self,
        provider: &Provider,
        call: &Call,
        providers: &Providers,
        deadline: Instant,
    ) -> Result<Answer, AttemptError> {
        let in_flight = InFlight::begin(&provider.endpoint, &provider.lane);
        let answering = forward::call_tool(&provider.endpoint, &provider.tool, &call.arguments);
        let outcome = timeout_at(deadline, answering).await.unwrap_or(Err(AttemptError::TimedOut));
        match &outcome {
            Ok(_) => in_flight.succeed(providers.median_latency()),
            Err(fault) => in_flight.fail(fault),
        }
        self.metrics.attempt_ended(outcome.as_ref().map_or_else(AttemptError::label, |_| "answered"));
        outcome
    }

    fn decide(
        &self,
        call: &Call,
        provider: &Provider,
        fault: &AttemptError,
        attempts: usize,
        policy: Policy,
    ) -> Decision {
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        let decision = self.with_budget(call, |budget| {
            policy.decide(attempts, fault.reached(), budget, Instant::now(), &mut rand::rng())
        });
        if fault.reached() == Reached::Nobody {
            self.routing.doubt(&call.query);
        }
        tracing::info!(
            capability = name(&call.query),
            agent.id = provider.endpoint.agent_id,
            endpoint = provider.endpoint.url,
            fault = chain(fault),
            decision = decision.as_words(),
            "an attempt failed"
        );
        decision
    }

    fn give_up(&self, call: &Call, provider: &Provider, source: AttemptError, denied: Denied) -> CallError {
        self.metrics.retry_denied(denied.as_str());
        let agent = provider.endpoint.agent_id.clone();
        CallError::Failed { capability: name(&call.query).to_owned(), agent, denied, source }
    }

    fn with_budget<T>(&self, call: &Call, use_it: impl FnOnce(&mut Budget) -> T) -> T {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let has_own = budgets.contains_key(name(&call.query)) || budgets.len() < MAX_BUDGETS;
        let key = if has_own { name(&call.query) } else { "" };
        use_it(budgets.entry(key.to_owned()).or_insert_with(|| Budget::new(Instant::now())))
    }

    /// Counts the call and writes its access line.
    fn note(&self, call: &Call, outcome: &Result<Reply, CallError>, failed_attempts: usize, took: Duration) {
        let (label, agent) = match outcome {
            Ok(reply) => ("success", reply.agent_id.as_str()),
            Err(error) => (error.label(), ""),
        };
        let is_known = !matches!(outcome, Err(CallError::NoProvider { .. } | CallError::RegistryAway { .. }));
        self.metrics.call_ended(Some(name(&call.query)).filter(|_| is_known), label, took);
        let duration_ms = took.as_secs_f64() * 1_000.0;
        tracing::debug!(
            capability = name(&call.query),
            agent.id = agent,
            outcome = label,
            failed_attempts,
            duration_ms,
            "call"
        );
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let before = self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.in_flight(before.saturating_sub(1));
    }
}

fn report(provider: &Provider, fault: &AttemptError, took: Duration) -> AttemptReport {
    AttemptReport {
        agent_id: provider.endpoint.agent_id.clone(),
        endpoint: provider.endpoint.url.clone(),
        cause: chain(fault),
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

fn reply(result: Box<RawValue>, provider: &Provider, attempts: usize, found: &Found<Providers>) -> Reply {
    let agent_id = provider.endpoint.agent_id.clone();
    Reply { result, agent_id, attempts, age: found.age, is_stale: found.is_stale }
}
