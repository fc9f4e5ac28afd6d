//! `GET /explain/{capability}`: who could serve a call, who would, and why not the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State as Extract};
use axum::response::IntoResponse as _;
use http::Response;
use mesh_api::health::Status;
use serde::Serialize;

use crate::api::state::State;
use crate::api::{query, reply};
use crate::balancer::Verdict;
use crate::breaker::StateName;
use crate::error::CallError;
use crate::outbound::Failure;
use crate::routing::Judged;

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
    /// Agents that may serve, the best score first. A call picks two of them at random and takes the better one.
    eligible: Vec<String>,
    candidates: Vec<CandidateRow>,
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
    labels: BTreeMap<String, String>,
}

/// Explains where a call would go.
pub async fn explain(
    Extract(state): Extract<Arc<State>>,
    Path(capability): Path<String>,
    RawQuery(raw): RawQuery,
) -> Response<axum::body::Body> {
    match explanation(&state, capability, &raw.unwrap_or_default()).await {
        Ok(explanation) => reply::json(http::StatusCode::OK, &explanation).into_response(),
        Err(error) => reply::failure(Failure { error, attempts: Vec::new() }),
    }
}

async fn explanation(state: &State, capability: String, raw: &str) -> Result<Explanation, CallError> {
    let query = query::of_call(&capability, raw, &state.namespace)?;
    let found = state.routing.resolve(&query).await?;
    let median = found.value.median_latency();
    let judged = state.routing.judge(&found.value, &[]);
    let mut eligible: Vec<_> = judged.iter().filter(|one| one.verdict == Verdict::Eligible).collect();
    eligible.sort_by(|a, b| a.score.total_cmp(&b.score));
    Ok(Explanation {
        capability,
        query: query.to_string(),
        age: found.age.as_secs_f64(),
        stale: found.is_stale,
        eligible: eligible.iter().map(|one| one.provider.endpoint.agent_id.clone()).collect(),
        candidates: judged.iter().map(|one| row(one, median)).collect(),
    })
}

fn row(judged: &Judged<'_>, median: std::time::Duration) -> CandidateRow {
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
        labels: provider.labels.clone(),
    }
}
