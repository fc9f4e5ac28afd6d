//! One call, top to bottom: place -> resolve -> pick -> attempt -> (retry) -> reply.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_api::query::CapabilityQuery;
use mesh_client::error::ClientError;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::balancer::{self, Candidate, Verdict};
use crate::breaker::Admission;
use crate::cache::Found;
use crate::discovery::{Discovery, Provider, Providers};
use crate::endpoint::InFlight;
use crate::error::{AttemptError, AttemptReport, CallError, chain};
use crate::forward::{self, Answer};
use crate::metrics::Metrics;
use crate::retry::{Budget, Decision, Denied, Policy};

/// Most capabilities with a retry budget of their own.
const MAX_BUDGETS: usize = 1_024;
/// What a caller is told to wait when nothing says better.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Carries calls out.
pub struct Outbound {
    discovery: Arc<Discovery>,
    limits: Limits,
    budgets: Mutex<HashMap<String, Budget>>,
    in_flight: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// What all calls of this sidecar have in common.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Our own agent, which is never called through the mesh.
    pub own_id: Option<String>,
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

/// A provider as it looks for a call, for `/explain` and for the call itself.
#[derive(Debug)]
pub struct Judged<'p> {
    /// The provider.
    pub provider: &'p Provider,
    /// Whether it may serve, and why not.
    pub verdict: Verdict,
    /// The number to compare: lower is better.
    pub score: f64,
}

/// A place among the calls in flight.
struct Place<'o>(&'o Outbound);

// === impl Outbound ===

impl Outbound {
    /// Finds providers through `discovery`.
    pub fn new(discovery: Arc<Discovery>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { discovery, limits, budgets: Mutex::default(), in_flight: AtomicUsize::new(0), metrics }
    }

    /// Carries out one call.
    ///
    /// # Errors
    /// Why it failed, and what was tried.
    pub async fn call(&self, call: &Call) -> Result<Reply, Failure> {
        let began = Instant::now();
        let mut trail = Vec::new();
        let outcome = self.carry_out(call, began + call.timeout, &mut trail).await;
        self.note(call, &outcome, trail.len(), began.elapsed());
        outcome.map_err(|error| Failure {
            error,
            attempts: trail.into_iter().map(|tried| tried.report).collect(),
        })
    }

    /// Every provider of `query` with a verdict.
    ///
    /// # Errors
    /// When nobody is known.
    pub async fn providers(&self, query: &CapabilityQuery) -> Result<Found<Providers>, CallError> {
        let found = self.discovery.providers(query).await.map_err(|fault| unresolved(query, fault))?;
        if found.value.list.is_empty() {
            return Err(CallError::NoProvider { capability: name(query), filter: filter(query) });
        }
        Ok(found)
    }

    /// Who of `providers` may serve a call that has tried `tried` already.
    pub fn judge<'p>(&self, providers: &'p Providers, tried: &[Tried]) -> Vec<Judged<'p>> {
        let median = providers.median_latency();
        let candidates: Vec<_> =
            providers.list.iter().map(|provider| self.candidate(provider, tried)).collect();
        let judged = providers.list.iter().zip(balancer::judge(&candidates));
        judged
            .map(|(provider, verdict)| {
                let score = provider.lane.score(&provider.endpoint, provider.weight, median);
                Judged { provider, verdict, score }
            })
            .collect()
    }

    async fn carry_out(
        &self,
        call: &Call,
        deadline: Instant,
        trail: &mut Vec<Tried>,
    ) -> Result<Reply, CallError> {
        let _place = self.take_place()?;
        let resolving = timeout_at(deadline, self.providers(&call.query));
        let found = resolving.await.map_err(|_| CallError::Deadline(call.timeout))??;
        self.with_budget(call, |budget| {
            budget.deposit(self.in_flight.load(Ordering::Relaxed), Instant::now())
        });
        loop {
            let provider = self.pick(call, &found.value, trail)?;
            let fault = match self.attempt(provider, call, &found.value, deadline).await {
                Ok(Answer::Result(result)) => return Ok(reply(result, provider, trail.len() + 1, &found)),
                Ok(Answer::Error(error)) => {
                    return Err(CallError::Refused { agent: provider.endpoint.agent_id.clone(), error });
                }
                Err((fault, took)) => {
                    trail.push(Tried::new(provider, &fault, took));
                    fault
                }
            };
            match self.decide(call, provider, &fault, trail.len(), deadline) {
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

    fn pick<'p>(
        &self,
        call: &Call,
        providers: &'p Providers,
        trail: &[Tried],
    ) -> Result<&'p Provider, CallError> {
        let judged = self.judge(providers, trail);
        let verdicts: Vec<_> = judged.iter().map(|one| one.verdict).collect();
        let picked = balancer::pick(&verdicts, |i| judged[i].score, &mut rand::rng());
        picked.map(|i| judged[i].provider).ok_or_else(|| all_out(call, &judged))
    }

    /// One attempt, with its outcome noted at the endpoint. A call that is dropped here is noted as abandoned.
    async fn attempt(
        &self,
        provider: &Provider,
        call: &Call,
        providers: &Providers,
        deadline: Instant,
    ) -> Result<Answer, (AttemptError, Duration)> {
        let began = Instant::now();
        let in_flight = InFlight::begin(&provider.endpoint, &provider.lane);
        let answering = forward::call_tool(&provider.endpoint, &provider.tool, &call.arguments);
        match timeout_at(deadline, answering).await.unwrap_or(Err(AttemptError::TimedOut)) {
            Ok(answer) => {
                in_flight.succeed(providers.median_latency());
                self.metrics.attempt_ended("answered");
                Ok(answer)
            }
            Err(fault) => {
                self.metrics.attempt_ended(fault.label());
                in_flight.fail(&fault);
                Err((fault, began.elapsed()))
            }
        }
    }

    fn decide(
        &self,
        call: &Call,
        provider: &Provider,
        fault: &AttemptError,
        attempts: usize,
        deadline: Instant,
    ) -> Decision {
        let policy = Policy {
            max_retries: self.limits.max_retries,
            safe: call.is_safe_to_repeat || provider.is_safe_to_repeat,
            deadline,
        };
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        let decision = self.with_budget(call, |budget| {
            policy.decide(attempts, fault.reached(), budget, Instant::now(), &mut rand::rng())
        });
        // Whoever cannot be reached may have moved: ask the registry again, soon and behind the scenes.
        if fault.reached() == crate::retry::Reached::Nobody {
            self.discovery.doubt(&call.query);
        }
        tracing::info!(
            capability = name(&call.query),
            agent.id = provider.endpoint.agent_id,
            endpoint = provider.endpoint.url,
            fault = chain(fault),
            decision = ?decision,
            "an attempt failed"
        );
        decision
    }

    fn give_up(&self, call: &Call, provider: &Provider, source: AttemptError, denied: Denied) -> CallError {
        self.metrics.retry_denied(denied.as_str());
        let agent = provider.endpoint.agent_id.clone();
        CallError::Failed { capability: name(&call.query), agent, denied, source }
    }

    fn candidate(&self, provider: &Provider, tried: &[Tried]) -> Candidate {
        Candidate {
            status: provider.status,
            weight: provider.weight,
            admission: provider.endpoint.admission(),
            is_self: self.limits.own_id.as_deref() == Some(provider.endpoint.agent_id.as_str()),
            tried: tried.iter().any(|tried| tried.report.agent_id == provider.endpoint.agent_id),
        }
    }

    fn with_budget<T>(&self, call: &Call, use_it: impl FnOnce(&mut Budget) -> T) -> T {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let capability = name(&call.query);
        let known = budgets.contains_key(&capability) || budgets.len() < MAX_BUDGETS;
        let key = if known { capability } else { String::new() };
        use_it(budgets.entry(key).or_insert_with(|| Budget::new(Instant::now())))
    }

    /// Counts the call and writes its access line.
    fn note(&self, call: &Call, outcome: &Result<Reply, CallError>, failed_attempts: usize, took: Duration) {
        let (label, agent) = match outcome {
            Ok(reply) => ("success", reply.agent_id.as_str()),
            Err(error) => (error.label(), ""),
        };
        let is_known = !matches!(outcome, Err(CallError::NoProvider { .. } | CallError::RegistryAway { .. }));
        self.metrics.call_ended(call.query.capability.name.as_deref().filter(|_| is_known), label, took);
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

/// A failed attempt of this call.
#[derive(Debug)]
pub struct Tried {
    report: AttemptReport,
}

impl Tried {
    fn new(provider: &Provider, fault: &AttemptError, took: Duration) -> Self {
        Self {
            report: AttemptReport {
                agent_id: provider.endpoint.agent_id.clone(),
                endpoint: provider.endpoint.url.clone(),
                cause: chain(fault),
                ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }
}

fn reply(result: Box<RawValue>, provider: &Provider, attempts: usize, found: &Found<Providers>) -> Reply {
    let agent_id = provider.endpoint.agent_id.clone();
    Reply { result, agent_id, attempts, age: found.age, is_stale: found.is_stale }
}

fn all_out(call: &Call, judged: &[Judged<'_>]) -> CallError {
    let now = Instant::now();
    let reopening = judged.iter().filter_map(|one| match one.provider.endpoint.admission() {
        Admission::Rejected { until, .. } => Some(until.saturating_duration_since(now)),
        Admission::Admitted => None,
    });
    let reasons =
        judged.iter().map(|one| format!("{} {}", one.provider.endpoint.agent_id, one.verdict.as_words()));
    CallError::AllOut {
        capability: name(&call.query),
        known: judged.len(),
        reasons: reasons.collect::<Vec<_>>().join(", "),
        retry_after: reopening.min().unwrap_or(DEFAULT_RETRY_AFTER),
    }
}

fn unresolved(query: &CapabilityQuery, fault: Arc<ClientError>) -> CallError {
    match fault.as_ref() {
        ClientError::Refused { body, .. } if !fault.is_outage() => {
            CallError::QueryRefused(body.error.clone())
        }
        _ => CallError::RegistryAway { capability: name(query), source: fault },
    }
}

fn name(query: &CapabilityQuery) -> String {
    query.capability.name.clone().unwrap_or_default()
}

/// The conditions of a query, for people.
fn filter(query: &CapabilityQuery) -> String {
    let namespace = query
        .agent_namespace
        .as_ref()
        .map(|namespace| format!("in namespace '{namespace}' (add ?namespace=* to look everywhere)"));
    let version = query.capability.version.as_ref().map(|version| format!("in version {version}"));
    let labels = query.label_selector.as_ref().map(|selector| format!("with labels {selector}"));
    let parts: Vec<_> = [namespace, version, labels].into_iter().flatten().collect();
    if parts.is_empty() { "in any namespace".to_owned() } else { parts.join(" ") }
}
