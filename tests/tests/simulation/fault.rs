//! What can go wrong at one moment, and how everything is put right again.

use std::net::IpAddr;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

use crate::agent::Mood;
use crate::link::{Link, Passage};
use crate::mesh::Mesh;

/// How an agent goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Its process ends.
    Crash,
    /// Its host loses its power.
    Dark,
    /// Nothing gets through to it from other nodes, and nobody is told.
    Hang,
    /// The same, and everybody is told.
    Refuse,
}

impl Outage {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Crash, Self::Dark, Self::Hang, Self::Refuse];

    /// One of them.
    pub(crate) fn any(rng: &mut SmallRng) -> Self {
        *Self::ALL.choose(rng).unwrap_or(&Self::Crash)
    }
}

/// An agent goes out.
pub(crate) fn agent_out(mesh: &Mesh, index: usize, outage: Outage) {
    mesh.trace.note(format_args!("FAULT agent-{index} is out: {outage:?}"));
    let agent = &mesh.nodes[index].agent;
    match outage {
        Outage::Crash => agent.crash(),
        Outage::Dark => agent.darken(),
        Outage::Hang => cut(mesh, agent.address.ip(), Some(index), Passage::Hangs),
        Outage::Refuse => cut(mesh, agent.address.ip(), Some(index), Passage::Refuses),
    }
}

/// An agent takes no calls any more, and says so.
pub(crate) fn sicken(mesh: &Mesh, index: usize) {
    mesh.trace.note(format_args!("FAULT agent-{index} takes no calls"));
    mesh.nodes[index].agent.feels(Mood::Refuses(503));
}

/// The registry goes out.
pub(crate) fn registry_out(mesh: &Mesh, outage: Outage) {
    mesh.trace.note(format_args!("FAULT the registry is out: {outage:?}"));
    match outage {
        Outage::Crash => mesh.registry.crash(),
        Outage::Dark => mesh.registry.darken(),
        Outage::Hang => cut(mesh, mesh.registry.address.ip(), None, Passage::Hangs),
        Outage::Refuse => cut(mesh, mesh.registry.address.ip(), None, Passage::Refuses),
    }
}

/// Cuts `host` off from all sidecars but that of node `own`.
fn cut(mesh: &Mesh, host: IpAddr, own: Option<usize>, passage: Passage) {
    for (index, node) in mesh.nodes.iter().enumerate() {
        if Some(index) != own {
            mesh.network.relink(node.sidecar.address.ip(), host, |link| link.passage = passage);
        }
    }
}

/// The next answer of each of these agents to this node breaks off.
pub(crate) fn break_next(mesh: &Mesh, caller: usize, agent: usize) {
    mesh.trace.note(format_args!("FAULT the next answer of agent-{agent} to agent-{caller} will break off"));
    between(mesh, caller, agent, |link| link.breaks = 1);
}

/// No answer breaks off any more.
pub(crate) fn break_none(mesh: &Mesh) {
    for caller in 0..mesh.nodes.len() {
        (0..mesh.nodes.len()).for_each(|agent| between(mesh, caller, agent, |link| link.breaks = 0));
    }
}

/// Something goes wrong at random.
pub(crate) async fn anything(mesh: &Mesh, rng: &mut SmallRng) {
    let (one, other) = (rng.random_range(0..mesh.nodes.len()), rng.random_range(0..mesh.nodes.len()));
    let passage = if rng.random_bool(0.5) { Passage::Hangs } else { Passage::Refuses };
    let ms = rng.random_range(20..400);
    let note = |what: std::fmt::Arguments<'_>| mesh.trace.note(format_args!("FAULT {what}"));
    match rng.random_range(0..12) {
        0 | 1 => {
            note(format_args!("agent-{one} and the agent {other}: {passage:?}"));
            between(mesh, one, other, |link| link.passage = passage);
        }
        2 => {
            note(format_args!("sidecar {one} and the registry: {passage:?}"));
            let sidecar = mesh.nodes[one].sidecar.address.ip();
            mesh.network.relink(sidecar, mesh.registry.address.ip(), |link| link.passage = passage);
        }
        3 => {
            note(format_args!("the way from {one} to the agent {other} is slow: {ms} ms"));
            between(mesh, one, other, |link| {
                (link.latency, link.per_block) = (Duration::from_millis(ms), Duration::from_millis(ms / 2));
            });
        }
        4 => {
            note(format_args!("the way from {one} to the registry is slow: {ms} ms"));
            let (sidecar, registry) = (mesh.nodes[one].sidecar.address.ip(), mesh.registry.address.ip());
            mesh.network.relink(sidecar, registry, |link| link.latency = Duration::from_millis(ms * 3));
        }
        5 | 6 => {
            note(format_args!("answers of the agent {other} to {one} break off"));
            between(mesh, one, other, |link| link.fragility = 0.3);
        }
        7 => agent_out(mesh, one, Outage::any(rng)),
        8 | 9 => {
            let moods = [
                Mood::Slow(Duration::from_millis(ms * 5)),
                Mood::Refuses(503),
                Mood::Refuses(429),
                Mood::Fails,
                Mood::Freezes,
            ];
            let mood = *moods.choose(rng).unwrap_or(&Mood::Freezes);
            note(format_args!("agent-{one}: {mood:?}"));
            mesh.nodes[one].agent.feels(mood);
        }
        10 => restart_registry(mesh, rng).await,
        _ => {
            note(format_args!("sidecar {one} starts again"));
            if rng.random_bool(0.5) {
                mesh.nodes[one].sidecar.leave().await;
            }
            mesh.nodes[one].sidecar.crash();
            mesh.nodes[one].sidecar.start();
        }
    }
}

async fn restart_registry(mesh: &Mesh, rng: &mut SmallRng) {
    let forgets = rng.random_bool(0.5);
    mesh.trace.note(format_args!("FAULT the registry starts again, and forgets everything: {forgets}"));
    mesh.registry.crash();
    if forgets {
        mesh.registry.forget();
    }
    mesh.registry.start().await;
}

/// Whoever is out comes back, and all links are well.
pub(crate) async fn heal(mesh: &Mesh) {
    mesh.trace.note("everything is put right");
    mesh.network.heal();
    for node in &mesh.nodes {
        node.agent.feels(Mood::Well);
        if !node.agent.is_running() {
            node.agent.start();
        }
        if node.sidecar.host().is_none() {
            node.sidecar.start();
        }
    }
    if !mesh.registry.is_running() {
        mesh.registry.start().await;
    }
}

fn between(mesh: &Mesh, caller: usize, agent: usize, change: impl FnOnce(&mut Link)) {
    let (caller, agent) = (mesh.nodes[caller].sidecar.address.ip(), mesh.nodes[agent].agent.address.ip());
    mesh.network.relink(caller, agent, change);
}
