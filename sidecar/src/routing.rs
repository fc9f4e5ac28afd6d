//! Where a call can go: the providers that discovery knows, each with a verdict and a score.
//!
//! The call and `/explain` both look here, so an explanation is never about another choice than the one made.

use std::sync::Arc;
use std::time::Duration;

use mesh_api::query::CapabilityQuery;
use mesh_client::error::ClientError;
use tokio::time::Instant;

use crate::balancer::{self, Candidate, Verdict};
use crate::breaker::Admission;
use crate::cache::Found;
use crate::discovery::{Discovery, Provider, Providers};
use crate::error::CallError;

/// What a caller is told to wait when no breaker says better.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Finds and judges the providers of a call.
pub struct Routing {
    discovery: Arc<Discovery>,
    /// Our own agent, which is never called through the mesh.
    own_id: Option<String>,
}

/// A provider as it looks for one call.
#[derive(Debug)]
pub struct Judged<'p> {
    /// The provider.
    pub provider: &'p Provider,
    /// Whether it may serve, and why not.
    pub verdict: Verdict,
    /// The number to compare: lower is better.
    pub score: f64,
}

// === impl Routing ===

impl Routing {
    /// Finds providers through `discovery`.
    pub fn new(discovery: Arc<Discovery>, own_id: Option<String>) -> Self {
        Self { discovery, own_id }
    }

    /// Everybody who offers what `query` asks for.
    ///
    /// # Errors
    /// When nobody does, or the registry cannot be asked and nothing is remembered.
    pub async fn resolve(&self, query: &CapabilityQuery) -> Result<Found<Providers>, CallError> {
        let found = self.discovery.providers(query).await.map_err(|fault| unresolved(query, fault))?;
        if found.value.list.is_empty() {
            return Err(CallError::NoProvider {
                capability: name(query).to_owned(),
                filter: conditions(query),
            });
        }
        Ok(found)
    }

    /// A verdict on each of `providers` for a call that has tried the agents `tried` already.
    pub fn judge<'p>(&self, providers: &'p Providers, tried: &[&str]) -> Vec<Judged<'p>> {
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

    /// The provider that the next attempt goes to. A call that is safe to repeat may be the trial of one that failed.
    ///
    /// # Errors
    /// Why there is none, for each of them.
    pub fn pick<'p>(
        &self,
        query: &CapabilityQuery,
        providers: &'p Providers,
        tried: &[&str],
        caller_says_safe: bool,
    ) -> Result<&'p Provider, CallError> {
        let judged = self.judge(providers, tried);
        let verdicts: Vec<_> = judged.iter().map(|one| one.verdict).collect();
        let on_trial = |i: usize| {
            let provider = judged[i].provider;
            (caller_says_safe || provider.is_safe_to_repeat) && provider.endpoint.is_on_trial(&provider.lane)
        };
        let picked = balancer::pick(&verdicts, on_trial, |i| judged[i].score, &mut rand::rng());
        picked.map(|i| judged[i].provider).ok_or_else(|| all_out(query, &judged))
    }

    /// Asks the registry again soon, because a provider could not be reached: it may have moved.
    pub fn doubt(&self, query: &CapabilityQuery) {
        self.discovery.doubt(query);
    }

    fn candidate(&self, provider: &Provider, tried: &[&str]) -> Candidate {
        let id = provider.endpoint.agent_id.as_str();
        Candidate {
            status: provider.status,
            weight: provider.weight,
            admission: provider.endpoint.admission(),
            is_self: self.own_id.as_deref() == Some(id),
            tried: tried.contains(&id),
        }
    }
}

/// The name of the capability that `query` asks for.
pub fn name(query: &CapabilityQuery) -> &str {
    query.capability.name.as_deref().unwrap_or_default()
}

fn all_out(query: &CapabilityQuery, judged: &[Judged<'_>]) -> CallError {
    let now = Instant::now();
    let reopening = judged.iter().filter_map(|one| match one.provider.endpoint.admission() {
        Admission::Rejected { until, .. } => Some(until.saturating_duration_since(now)),
        Admission::Admitted => None,
    });
    let reasons =
        judged.iter().map(|one| format!("{} {}", one.provider.endpoint.agent_id, one.verdict.as_words()));
    CallError::AllOut {
        capability: name(query).to_owned(),
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
        _ => CallError::RegistryAway { capability: name(query).to_owned(), source: fault },
    }
}

/// The conditions of a query, for people.
fn conditions(query: &CapabilityQuery) -> String {
    let namespace = query
        .agent_namespace
        .as_ref()
        .map(|namespace| format!("in namespace '{namespace}' (add ?namespace=* to look everywhere)"));
    let version = query.capability.version.as_ref().map(|version| format!("in version {version}"));
    let labels = query.label_selector.as_ref().map(|selector| format!("with labels {selector}"));
    let parts: Vec<_> = [namespace, version, labels].into_iter().flatten().collect();
    if parts.is_empty() { "in any namespace".to_owned() } else { parts.join(" ") }
}
