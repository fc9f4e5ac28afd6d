//! `GET /explain/{capability}`: who could serve a call, who would, and why not the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::response::IntoResponse as _;
use http::Response;
use mesh_api::health::Status;
use serde::Serialize;
use tokio::time::Instant;

use crate::api::body::ReplyBody;
use crate::api::reply;
use crate::api::state::State;
use crate::balancer::{Policy, Verdict};
use crate::breaker::StateName;
use crate::error::CallError;
use crate::outbound::Failure;
use crate::routing::{Judged, Wish};
use crate::split::Split;

/// Why calls of a capability go where they go.
#[derive(Debug, Serialize)]
struct Explanation {
    capability: String,
    /// The question that the registry was asked.
    query: String,
    /// Age of its answer in seconds.
    age: f64,
    /// Whether that is because the registry is away.
    stale: bool,
    /// How one of those that may serve is chosen.
    policy: Policy,
    /// The branches of the split, in the order in which agents are sorted into them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<BranchRow>,
    /// Agents that may serve, the best score first. A call picks two of them at random and takes the better one.
    eligible: Vec<String>,
    candidates: Vec<CandidateRow>,
    /// Agents that offer the capability at an endpoint that cannot be called at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unfit: Vec<UnfitRow>,
}

/// A branch of a split.
#[derive(Debug, Serialize)]
struct BranchRow {
    agents: String,
    weight: f64,
}

/// An agent that cannot be called.
#[derive(Debug, Serialize)]
struct UnfitRow {
    agent_id: String,
    endpoint: String,
    reason: String,
}

/// One agent that offers the capability.
#[derive(Debug, Serialize)]
struct CandidateRow {
    agent_id: String,
    endpoint: String,
    version: String,
    verdict: Verdict,
    reason: &'static str,
    status: Status,
    breaker: StateName,
    weight: f64,
    in_flight: usize,
    /// Moving average in milliseconds; null before the first answer.
    latency_ms: Option<f64>,
    /// Memory of failures, 0 to 1.
    failure: f64,
    /// Whether the next call that is safe to repeat goes here to see whether it has recovered.
    on_trial: bool,
    /// The number that two candidates are compared by: lower is better; null for a weight of 0.
    score: Option<f64>,
    safe_to_repeat: bool,
    /// The branch of the split that it belongs to, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<usize>,
    /// How much worse it looks because it is in another zone; 1 when it does not.
    zone_factor: f64,
    /// What happened when a call failed there last, or why it must not be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_fault: Option<String>,
    labels: BTreeMap<String, String>,
}

/// Explains where a call would go.
pub async fn explain(
    Extract(state): Extract<Arc<State>>,
    Path(capability): Path<String>,
    RawQuery(raw): RawQuery,
) -> Response<Body> {
    match explanation(&state, capability, &raw.unwrap_or_default()).await {
        Ok(explanation) => reply::json(http::StatusCode::OK, &explanation).into_response(),
        Err(error) => reply::failure(Failure { error, attempts: Vec::new() }).map(Body::new::<ReplyBody>),
    }
}

async fn explanation(state: &State, capability: String, raw: &str) -> Result<Explanation, CallError> {
    let target = state.targets.get(&capability, raw)?;
    let found = state.routing.resolve(&target).await?;
    let median = found.value.median_latency(Instant::now());
    let judged = state.routing.judge(&target, &found.value, Wish::default());
    let split = &target.shared.terms.split;
    let branches =
        split.branches.iter().map(|branch| BranchRow { agents: branch.to_string(), weight: branch.weight });
    let unfit = found.value.unfit.iter().map(|one| UnfitRow {
        agent_id: one.agent_id.clone(),
        endpoint: one.endpoint.clone(),
        reason: one.reason.clone(),
    });
    let mut eligible: Vec<_> = judged.iter().filter(|one| one.verdict == Verdict::Eligible).collect();
    eligible.sort_by(|a, b| a.score.total_cmp(&b.score));
    Ok(Explanation {
        capability,
        query: target.question.to_string(),
        policy: target.shared.terms.policy,
        branches: branches.collect(),
        unfit: unfit.collect(),
        age: found.age.as_secs_f64(),
        stale: found.is_stale,
        eligible: eligible.iter().map(|one| one.provider.endpoint.agent_id.clone()).collect(),
        candidates: judged.iter().map(|one| row(one, split, median)).collect(),
    })
}

fn row(judged: &Judged<'_>, split: &Split, median: std::time::Duration) -> CandidateRow {
    let provider = judged.provider;
    CandidateRow {
        agent_id: provider.endpoint.agent_id.clone(),
        endpoint: provider.endpoint.url.clone(),
        version: provider.version.to_string(),
        verdict: judged.verdict,
        reason: judged.verdict.as_words(),
        status: provider.status,
        breaker: provider.endpoint.breaker_state(),
        weight: provider.weight,
        in_flight: provider.endpoint.in_flight(),
        latency_ms: provider.lane.latency(median).map(|latency| latency.as_secs_f64() * 1_000.0),
        failure: provider.lane.failure(),
        on_trial: provider.endpoint.is_on_trial(&provider.lane),
        score: Some(judged.score).filter(|score| score.is_finite()),
        safe_to_repeat: provider.is_safe_to_repeat,
        branch: split.branch_of(&provider.version, &provider.labels),
        zone_factor: provider.zone_factor,
        last_fault: provider.endpoint.last_fault(),
        labels: provider.labels.clone(),
    }
}
