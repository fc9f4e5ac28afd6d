//! The mesh of one seed: a registry, some nodes of an agent with its sidecar, and what they offer each other.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mesh_sidecar::keeper::Mode;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use crate::agent::{self, Agent, HEALTH, Speech};
use crate::host::Host;
use crate::ledger::Ledger;
use crate::network::Network;
use crate::promise::Promise;
use crate::registry::Registry;
use crate::sidecar::Sidecar;
use crate::trace::Trace;

/// Fewest and most nodes.
const NODES: (usize, usize) = (5, 7);
/// Fewest and most capabilities.
const CAPABILITIES: (usize, usize) = (3, 5);
/// Fewest and most providers of a capability.
const PROVIDERS: (usize, usize) = (2, 4);
/// Time between heartbeats, in seconds.
const HEARTBEAT: u32 = 5;

/// A capability.
#[derive(Debug, Clone)]
pub(crate) struct Capability {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is marked as safe to repeat.
    pub(crate) is_safe: bool,
    /// The nodes that offer it.
    pub(crate) providers: Vec<usize>,
}

/// An agent and its sidecar.
#[derive(Clone)]
pub(crate) struct Node {
    /// The agent.
    pub(crate) agent: Agent,
    /// Its sidecar.
    pub(crate) sidecar: Sidecar,
}

/// The mesh of one seed. Clones are the same.
#[derive(Clone)]
pub(crate) struct Mesh {
    /// What happened.
    pub(crate) trace: Trace,
    /// The network.
    pub(crate) network: Network,
    /// Which calls there were.
    pub(crate) ledger: Ledger,
    /// Which calls must succeed.
    pub(crate) promise: Promise,
    /// The registry.
    pub(crate) registry: Registry,
    /// The nodes.
    pub(crate) nodes: Vec<Node>,
    /// What they offer.
    pub(crate) capabilities: Vec<Capability>,
    /// A host from which the registry is looked at, which nothing happens to.
    pub(crate) observer: Host,
}

impl Mesh {
    /// A mesh in which nothing runs yet.
    pub(crate) fn new(seed: u64, rng: &mut SmallRng, trace: Trace) -> Self {
        let (network, ledger) = (Network::new(seed, trace.clone()), Ledger::new(trace.clone()));
        let registry = Registry::new(SocketAddr::new(address(0, 1), 8_000), &network);
        let count = rng.random_range(NODES.0..=NODES.1);
        let capabilities = capabilities(count, rng);
        let nodes = (0..count).map(|index| {
            let manifest = manifest(index, &capabilities, rng);
            let mode = if rng.random_bool(0.5) { Mode::Watch } else { Mode::Poll };
            let speech =
                *[Speech::Current, Speech::Session, Speech::Bare].choose(rng).unwrap_or(&Speech::Bare);
            trace.note(format_args!("agent-{index}: {speech:?}, {mode:?}"));
            let at = SocketAddr::new(address(2, index), agent::PORT);
            let agent = Agent::new(&format!("agent-{index}"), speech, at, &network, &ledger);
            let sidecar = Sidecar::new(address(1, index), registry.address, &manifest, mode, &network);
            Node { agent, sidecar }
        });
        let nodes = nodes.collect();
        for Capability { name, is_safe, providers } in &capabilities {
            trace.note(format_args!("{name}, safe to repeat: {is_safe}, of agents {providers:?}"));
        }
        let observer = Host::start(&network, address(0, 9));
        Self { trace, network, ledger, promise: Promise::new(), registry, nodes, capabilities, observer }
    }

    /// The nodes that `caller` can call for a capability.
    pub(crate) fn others(&self, caller: usize, capability: &Capability) -> Vec<usize> {
        capability.providers.iter().copied().filter(|provider| *provider != caller).collect()
    }

    /// Whether everybody finds somebody for everything while these nodes are out.
    pub(crate) fn does_without(&self, out: &[usize]) -> bool {
        (0..self.nodes.len()).all(|caller| self.caller_does_without(caller, out))
    }

    /// Whether `caller` finds somebody for everything while these nodes are out.
    pub(crate) fn caller_does_without(&self, caller: usize, out: &[usize]) -> bool {
        let served = |capability| self.others(caller, capability).iter().any(|one| !out.contains(one));
        self.capabilities.iter().all(served)
    }
}

/// Host number `index` of a kind.
fn address(kind: u8, index: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, kind, index as u8 + 1).into()
}

/// Capabilities in pairs of which one is safe to repeat; everybody finds somebody else for each.
fn capabilities(nodes: usize, rng: &mut SmallRng) -> Vec<Capability> {
    let count = rng.random_range(CAPABILITIES.0..=CAPABILITIES.1);
    let capabilities = (0..count).map(|index| {
        let mut all = (0..nodes).collect::<Vec<_>>();
        all.shuffle(rng);
        all.truncate(rng.random_range(PROVIDERS.0..=PROVIDERS.1));
        all.sort_unstable();
        let is_safe = index % 2 == 0;
        let name = format!("{}-{index}", if is_safe { "read" } else { "write" });
        Capability { name, is_safe, providers: all }
    });
    capabilities.collect()
}

fn manifest(index: usize, capabilities: &[Capability], rng: &mut SmallRng) -> String {
    let mut text = format!(
        "id: agent-{index}\nendpoint: http://{}:{}/mcp\nhealth_interval: {HEARTBEAT}\n\
         health: {{path: {HEALTH}, interval: 2s, timeout: 1s}}\ncapabilities:\n",
        address(2, index),
        agent::PORT,
    );
    let offered = capabilities.iter().filter(|capability| capability.providers.contains(&index));
    for Capability { name, is_safe, .. } in offered {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  - {{name: {name}, annotations: {{readOnlyHint: {is_safe}}}}}");
    }
    if text.ends_with("capabilities:\n") {
        let _ = writeln!(text, "  - {{name: idle-{index}}}");
    }
    text.push_str("dependencies:\n");
    for Capability { name, .. } in capabilities {
        let policies = ["adaptive", "adaptive", "round_robin", "random", "least_request"];
        let policy = policies.choose(rng).unwrap_or(&"adaptive");
        let hedge = rng.random_bool(0.2);
        let _ = writeln!(text, "  - {{capability: {name}, policy: {policy}, hedge: {hedge}}}");
    }
    text
}
