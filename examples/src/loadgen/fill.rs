//! Brings a fleet into a registry: registers every agent and lets each be heard once, so that all are healthy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Uri;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fleet::Fleet;
use super::wire::{Base, Connection};

/// Where agents register.
pub const AGENTS: &str = "/agents";
/// Where agents are heard.
pub const HEARTBEAT: &str = "/heartbeat";
/// Heartbeats in one request: half of what a registry takes.
const BATCH: usize = 500;

/// Requests of one kind.
#[derive(Clone, Copy)]
struct Jobs {
    count: usize,
    /// Where the request of this number goes, and what it says.
    request: fn(Fleet, usize) -> (&'static str, Value),
    check: fn(&[u8]) -> anyhow::Result<()>,
}

/// Registers `fleet` and sends a heartbeat of each agent, over this many connections.
///
/// # Errors
/// The first registration or heartbeat that is refused.
pub async fn fill(base: &Base, fleet: Fleet, connections: usize) -> anyhow::Result<()> {
    register(base, fleet, connections).await?;
    beat(base, fleet, connections).await?;
    Ok(())
}

/// Registers `fleet`; returns how long it took.
///
/// # Errors
/// The first registration that is refused.
pub async fn register(base: &Base, fleet: Fleet, connections: usize) -> anyhow::Result<Duration> {
    let request = |fleet: Fleet, agent| (AGENTS, fleet.document(agent));
    share(base, fleet, connections, Jobs { count: fleet.agents, request, check: |_| Ok(()) }).await
}

/// Sends a heartbeat of each agent, in batches; returns how long it took.
///
/// # Errors
/// The first heartbeat that is refused.
pub async fn beat(base: &Base, fleet: Fleet, connections: usize) -> anyhow::Result<Duration> {
    let count = fleet.agents.div_ceil(BATCH);
    share(base, fleet, connections, Jobs { count, request: batch, check: every_beat_was_taken }).await
}

/// The heartbeat of one agent as it goes over the wire.
pub fn heartbeat(id: &str) -> Value {
    json!({ "agent_id": id, "status": "healthy" })
}

/// The heartbeats number `number`, in one request.
fn batch(fleet: Fleet, number: usize) -> (&'static str, Value) {
    let agents = number * BATCH..fleet.agents.min((number + 1) * BATCH);
    (HEARTBEAT, agents.map(|agent| heartbeat(&fleet.id(agent))).collect())
}

fn every_beat_was_taken(answer: &[u8]) -> anyhow::Result<()> {
    let items: Vec<Value> = serde_json::from_slice(answer).context("a batch is answered with a list")?;
    let refused = items.iter().find(|item| item["status_code"] != 200);
    ensure!(refused.is_none(), "a heartbeat is refused: {}", refused.unwrap_or(&Value::Null));
    Ok(())
}

/// Posts requests; each connection takes the next one when it is free.
async fn share(base: &Base, fleet: Fleet, connections: usize, jobs: Jobs) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::<anyhow::Result<()>>::new();
    for _ in 0..connections.max(1) {
        let (next, mut connection) = (Arc::clone(&next), Connection::to(base));
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= jobs.count {
                    return Ok(());
                }
                let (route, document) = (jobs.request)(fleet, number);
                let answer = connection.post(&Uri::from_static(route), document.to_string().into()).await?;
                (jobs.check)(&answer.body)?;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(began.elapsed())
}
