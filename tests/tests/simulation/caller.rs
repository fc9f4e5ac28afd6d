//! Calls through a sidecar, and what must hold of every answer.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use mesh_api::error::{Code, ErrorBody};
use mesh_client::error::BoxError;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::mesh::{Capability, Mesh};
use crate::transport;

/// Times that callers give their calls, in milliseconds.
const TIMEOUTS: [u64; 5] = [1_500, 5_000, 5_000, 8_000, 10_000];
/// Time that an answer may come after its time.
const MARGIN: Duration = Duration::from_millis(50);
/// Shortest and longest pause of a caller, in milliseconds.
const PAUSE: (u64, u64) = (400, 2_500);
/// What a call may fail with, and how: the kinds that have to do with others.
const KNOWN: [(Code, StatusCode); 6] = [
    (Code::NoProvider, StatusCode::NOT_FOUND),
    (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
    (Code::ProvidersUnavailable, StatusCode::SERVICE_UNAVAILABLE),
    (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT),
    (Code::UpstreamFailed, StatusCode::BAD_GATEWAY),
    (Code::Overloaded, StatusCode::TOO_MANY_REQUESTS),
];

/// How a call is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// Its time.
    pub(crate) timeout: Duration,
    /// Whether the caller vouches that executing it twice is as good as once.
    pub(crate) has_key: bool,
    /// Whether it wants the provider of all its calls like this.
    pub(crate) has_affinity: bool,
}

struct Heard {
    status: StatusCode,
    agent: String,
    body: Value,
}

/// Calls from node number `caller`, now and then, until `stop`.
pub(crate) async fn run(mesh: Mesh, caller: usize, seed: u64, stop: CancellationToken) {
    let mut rng = SmallRng::seed_from_u64(seed);
    loop {
        let pause = sleep(Duration::from_millis(rng.random_range(PAUSE.0..=PAUSE.1)));
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
        let timeout = Duration::from_millis(*TIMEOUTS.choose(&mut rng).unwrap_or(&TIMEOUTS[1]));
        let wish = Wish { timeout, has_key: rng.random_bool(0.1), has_affinity: rng.random_bool(0.1) };
        if let Some(capability) = mesh.capabilities.choose(&mut rng).cloned() {
            let mesh = mesh.clone();
            // Not one after the other: a call that takes long must not keep others from being made.
            tokio::spawn(async move { _ = call(&mesh, caller, &capability, wish).await });
        }
    }
}

/// Waits while everybody makes so many calls, of which each must keep what is promised.
pub(crate) async fn go_on(mesh: &Mesh, calls: usize) {
    mesh.ledger.more(calls * mesh.nodes.len()).await;
}

/// One call from node number `caller`; returns whether it succeeded.
pub(crate) async fn call(mesh: &Mesh, caller: usize, capability: &Capability, wish: Wish) -> bool {
    let sidecar = &mesh.nodes[caller].sidecar;
    let Some(host) = sidecar.host() else { return false };
    let is_safe = capability.is_safe || wish.has_key;
    let number = mesh.ledger.open(&capability.name, is_safe);
    let (began, promised) = (Instant::now(), mesh.promise.present());
    mesh.trace.note(format_args!("agent-{caller} makes call {number} of {} {wish:?}", capability.name));
    let heard = send(&host, mesh, caller, number, &capability.name, wish).await;
    mesh.ledger.close(number);
    let took = began.elapsed();
    let is_over_time = took > wish.timeout + MARGIN;
    let outcome = match &heard {
        Ok(heard) => check(mesh, number, capability, is_safe, heard),
        Err(_) if !host.is_running() => Err("lost with its sidecar".to_owned()),
        Err(fault) => {
            mesh.trace.violated(format_args!("call {number}: the sidecar broke off: {fault}"));
            Err(fault.to_string())
        }
    };
    let words = outcome.as_ref().map_or_else(Clone::clone, |by| format!("answered by {by}"));
    mesh.trace.note(format_args!("  call {number} after {} ms: {words}", took.as_millis()));
    if is_over_time && host.is_running() {
        mesh.trace.violated(format_args!("call {number} took {took:?} and had {:?}", wish.timeout));
    }
    if outcome.is_err() && host.is_running() && mesh.promise.was_kept_up(promised, is_safe, wish.timeout) {
        mesh.trace.violated(format_args!("call {number} of {} had to succeed: {words}", capability.name));
    }
    outcome.is_ok()
}

async fn send(
    host: &Host,
    mesh: &Mesh,
    caller: usize,
    number: u64,
    capability: &str,
    wish: Wish,
) -> Result<Heard, BoxError> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/call/{capability}"))
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-mesh-timeout-ms", wish.timeout.as_millis() as u64);
    if wish.has_key {
        request = request.header("idempotency-key", number);
    }
    if wish.has_affinity {
        request = request.header("x-mesh-affinity", caller);
    }
    let request = request.body(Bytes::from(json!({"call": number}).to_string()))?;
    let response = transport::send(host, mesh.nodes[caller].sidecar.address, request).await?;
    let (head, body) = response.into_parts();
    let agent = head.headers.get("x-mesh-agent").and_then(|value| value.to_str().ok());
    let agent = agent.unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap_or_default();
    Ok(Heard { status: head.status, agent, body })
}

/// Checks an answer; returns who served the call, or in words why it failed.
fn check(
    mesh: &Mesh,
    number: u64,
    capability: &Capability,
    is_safe: bool,
    heard: &Heard,
) -> Result<String, String> {
    let Heard { status, agent, body } = heard;
    if status.is_success() {
        let wanted = json!({"call": number, "tool": capability.name, "by": agent});
        if body["structuredContent"] != wanted || !mesh.ledger.has_executed(number, agent) {
            mesh.trace.violated(format_args!("call {number} is answered by {agent} with {body}"));
        }
        return Ok(agent.clone());
    }
    let text = body["error"].as_str().unwrap_or_default();
    let code = serde_json::from_value::<ErrorBody>(body.clone()).map(|body| body.code);
    if text.is_empty() || !code.is_ok_and(|code| KNOWN.contains(&(code, *status))) {
        mesh.trace.violated(format_args!("call {number} fails in an unknown way: {status} {body}"));
    }
    if body["retryable"] == true && !is_safe && mesh.ledger.is_executed(number) {
        mesh.trace.violated(format_args!("call {number} was executed and is said to be retryable: {body}"));
    }
    Err(format!("{} {text}", status.as_u16()))
}
