//! What must be true again within a bounded time once everything is put right.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::caller::{self, Wish};
use crate::host::Host;
use crate::mesh::{Capability, Mesh};
use crate::transport;

/// Time until everybody is registered and well in the registry: the longest pause between two attempts, one attempt at a
/// registry that does not answer, a pause for a fleet that was forgotten, and a heartbeat.
const REGISTERED: Duration = Duration::from_secs(30);
/// Time after that until everybody can call everything: an old answer is renewed, and the last breaker probes.
const CALLABLE: Duration = Duration::from_secs(15);
/// Time until nobody calls an agent any more that was taken out: a registry that has started empty is believed so after
/// 30 s, an answer is used for 10 s, and in the 45 s after an outage of the registry they are renewed one after the other.
const FORGOTTEN: Duration = Duration::from_secs(90);
/// Time for which is looked on after an outage of the registry: in it everybody registers again, and answers are renewed.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Time between two looks.
const STEP: Duration = Duration::from_millis(500);
/// How these calls are made.
const WISH: Wish = Wish { timeout: Duration::from_secs(5), has_key: false, has_affinity: false };

/// Waits until everybody is registered and can call everything; says so if it takes too long.
pub(crate) async fn expect(mesh: &Mesh) {
    let began = Instant::now();
    while let Err(what) = registered(mesh).await {
        if began.elapsed() > REGISTERED {
            mesh.trace.violated(format_args!("{REGISTERED:?} after everything was put right: {what}"));
            break;
        }
        sleep(STEP).await;
    }
    mesh.trace.note(format_args!("everybody is registered after {:?}", began.elapsed()));
    roll_call(mesh).await;
    mesh.trace.note(format_args!("everybody can call everything after {:?}", began.elapsed()));
}

/// Waits until everybody has called everything, except for those whose sidecar does not run.
pub(crate) async fn roll_call(mesh: &Mesh) {
    let deadline = Instant::now() + CALLABLE;
    let running = |caller: &usize| mesh.nodes[*caller].sidecar.host().is_some();
    for caller in (0..mesh.nodes.len()).filter(running) {
        for capability in &mesh.capabilities {
            until_callable(mesh, caller, capability, deadline).await;
        }
    }
}

/// Waits until nobody would call an agent any more that has left; says so if it takes too long.
pub(crate) async fn expect_forgotten(mesh: &Mesh, leaver: usize) {
    let began = Instant::now();
    while let Some(what) = remembering(mesh, leaver).await {
        if began.elapsed() > FORGOTTEN {
            mesh.trace.violated(format_args!("{FORGOTTEN:?} after agent-{leaver} has left: {what}"));
            return;
        }
        // Answers are renewed when they are used.
        sleep(STEP * 4).await;
        roll_call(mesh).await;
    }
    mesh.trace.note(format_args!("agent-{leaver} is forgotten after {:?}", began.elapsed()));
}

/// Somebody who would still call an agent that has left.
async fn remembering(mesh: &Mesh, leaver: usize) -> Option<String> {
    for (caller, capability) in known(mesh) {
        let agents = candidates(mesh, caller, capability).await;
        let has_left = capability.providers.contains(&leaver);
        if has_left && (agents.is_empty() || agents.contains(&mesh.nodes[leaver].agent.id)) {
            return Some(format!("agent-{caller} would call {agents:?} for {}", capability.name));
        }
    }
    None
}

/// Whom everybody knows for everything.
pub(crate) async fn all_known(mesh: &Mesh) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (caller, capability) in known(mesh) {
        all.push(candidates(mesh, caller, capability).await);
    }
    all
}

/// Looks on while everybody registers again, and says so if anybody has forgotten whom he knew `before`, though nobody has
/// left.
pub(crate) async fn expect_known(mesh: &Mesh, before: &[Vec<String>]) {
    let ends = Instant::now() + REMEMBERED;
    while Instant::now() < ends {
        compare(mesh, before).await;
        sleep(STEP).await;
    }
}

async fn compare(mesh: &Mesh, before: &[Vec<String>]) {
    let now = all_known(mesh).await;
    for (((caller, capability), before), now) in known(mesh).zip(before).zip(now) {
        if before.iter().any(|id| !now.contains(id)) {
            let name = &capability.name;
            mesh.trace.violated(format_args!("agent-{caller} knew {before:?} for {name}, and now {now:?}"));
        }
    }
}

/// All that the sidecars that run may be asked for.
fn known(mesh: &Mesh) -> impl Iterator<Item = (usize, &Capability)> {
    let running = (0..mesh.nodes.len()).filter(|caller| mesh.nodes[*caller].sidecar.host().is_some());
    running.flat_map(|caller| mesh.capabilities.iter().map(move |capability| (caller, capability)))
}

/// Whether no breaker is open of those whom a node can call for a capability.
pub(crate) async fn all_closed(mesh: &Mesh, caller: usize, capability: &Capability) -> bool {
    explained(mesh, caller, capability).await.iter().all(|one| one["breaker"] == "closed")
}

/// Whom the sidecar of a node knows for a capability.
async fn candidates(mesh: &Mesh, caller: usize, capability: &Capability) -> Vec<String> {
    let explained = explained(mesh, caller, capability).await;
    explained.iter().filter_map(|one| one["agent_id"].as_str()).map(str::to_owned).collect()
}

/// How the sidecar of a node explains where calls of a capability go.
async fn explained(mesh: &Mesh, caller: usize, capability: &Capability) -> Vec<Value> {
    let sidecar = &mesh.nodes[caller].sidecar;
    let Some(host) = sidecar.host() else { return Vec::new() };
    let explained = get(&host, sidecar.address, &format!("/explain/{}", capability.name)).await;
    explained["candidates"].as_array().cloned().unwrap_or_default()
}

async fn until_callable(mesh: &Mesh, caller: usize, capability: &Capability, deadline: Instant) {
    while !caller::call(mesh, caller, capability, WISH).await {
        if Instant::now() > deadline {
            let name = &capability.name;
            mesh.trace.violated(format_args!("agent-{caller} cannot call {name} though everything is well"));
            return;
        }
        sleep(STEP).await;
    }
}

/// Whether every agent is registered and well in the registry; if not, who is not.
async fn registered(mesh: &Mesh) -> Result<(), String> {
    if let Some(index) = mesh.nodes.iter().position(|node| !node.sidecar.is_registered()) {
        return Err(format!("sidecar {index} does not believe that its agent is registered"));
    }
    let well = well(mesh).await;
    let all = mesh.nodes.iter().map(|node| node.agent.id.clone()).collect::<Vec<_>>();
    if well == all { Ok(()) } else { Err(format!("the registry knows {well:?} as healthy")) }
}

/// The agents that the registry knows as healthy.
async fn well(mesh: &Mesh) -> Vec<String> {
    let page = get(&mesh.observer, mesh.registry.address, "/agents?status=healthy").await;
    let agents = page["agents"].as_array().into_iter().flatten();
    let mut ids = agents.filter_map(|agent| agent["id"].as_str()).map(str::to_owned).collect::<Vec<_>>();
    ids.sort_unstable();
    ids
}

/// What is at a path; nothing when there is no answer.
async fn get(host: &Host, from: SocketAddr, path: &str) -> Value {
    let request = Request::get(path).header("host", "localhost").body(Bytes::new());
    let request = request.expect("a request of known parts");
    let Ok(response) = transport::send(host, from, request).await else { return Value::Null };
    let body = response.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_default()
}
