//! The acts of a story: each has faults of one kind, and promises what must go well meanwhile.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use tokio::time::sleep;

use crate::caller::{self, Wish};
use crate::fault::{self, Outage};
use crate::mesh::Mesh;
use crate::promise::Promised;
use crate::recovery;

/// Time until nobody waits any more for an agent that went out silently: the longest call, and connections that are not
/// used for a while.
const NOTICED: Duration = Duration::from_secs(15);
/// Time in which budgets for repeats fill that an act before has emptied.
const REFILLED: Duration = Duration::from_secs(20);
/// Calls of each after what must not harm any.
const CALM: usize = 3;
/// Calls that are made one after the other while one provider takes none, and how many may fail if there are others: five until
/// the breaker opens, and one each time that it tries.
const IN_A_ROW: usize = 40;
const MAY_FAIL: usize = 9;
/// How the calls are made that an act makes itself.
const WISH: Wish = Wish { timeout: Duration::from_secs(5), has_key: false, has_affinity: false };

/// An act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// The registry is away, which no call must suffer from.
    RegistryAway,
    /// Some agents are out, and others are left.
    SomeOut,
    /// All providers of a capability are out.
    AllOut,
    /// Answers break off now and then, which no call must suffer from that is safe to repeat.
    Breaks,
    /// An agent takes no calls, which is found out soon.
    Sick,
    /// An agent leaves in good order, which no call must suffer from.
    Leave,
    /// Anything, all at once.
    Storm,
}

impl Act {
    /// Every act.
    pub(crate) const ALL: [Self; 7] =
        [Self::RegistryAway, Self::SomeOut, Self::AllOut, Self::Breaks, Self::Sick, Self::Leave, Self::Storm];

    /// Plays it, in a mesh in which all is well, and leaves such a one behind.
    pub(crate) async fn play(self, mesh: &Mesh, rng: &mut SmallRng) {
        mesh.trace.note(format_args!("ACT {self:?}"));
        match self {
            Self::RegistryAway => registry_away(mesh, rng).await,
            Self::SomeOut => some_out(mesh, rng).await,
            Self::AllOut => all_out(mesh, rng).await,
            Self::Breaks => breaks(mesh, rng).await,
            Self::Sick => sick(mesh, rng).await,
            Self::Leave => leave(mesh, rng).await,
            Self::Storm => storm(mesh, rng).await,
        }
        recovery::expect(mesh).await;
        mesh.promise.make(Promised::AllCalls);
        caller::go_on(mesh, CALM).await;
    }
}

async fn registry_away(mesh: &Mesh, rng: &mut SmallRng) {
    let (outage, forgets) = (Outage::any(rng), rng.random_bool(0.7));
    let before = recovery::all_known(mesh).await;
    fault::registry_out(mesh, outage);
    // Answers are used for a minute before the registry is waited for.
    sleep(Duration::from_secs(*[10, 70, 90].choose(rng).unwrap_or(&10))).await;
    if !mesh.registry.is_running() && forgets {
        mesh.trace.note("the registry forgets everything");
        mesh.registry.forget();
    }
    fault::heal(mesh).await;
    recovery::expect_known(mesh, &before).await;
}

async fn some_out(mesh: &Mesh, rng: &mut SmallRng) {
    let mut all = (0..mesh.nodes.len()).collect::<Vec<_>>();
    all.shuffle(rng);
    let most = rng.random_range(1..=2);
    let mut out = Vec::new();
    for index in all {
        out.push(index);
        if out.len() > most || !mesh.does_without(&out) {
            out.pop();
        }
    }
    mesh.promise.make(Promised::Nothing);
    let outage = Outage::any(rng);
    // Everybody has a connection to everybody then.
    recovery::roll_call(mesh).await;
    out.iter().for_each(|index| fault::agent_out(mesh, *index, outage));
    // Of what tells everybody at once, only calls that are under way already may suffer.
    if matches!(outage, Outage::Dark | Outage::Hang) {
        sleep(NOTICED).await;
    }
    mesh.promise.make(Promised::AllCalls);
    recovery::roll_call(mesh).await;
    sleep(Duration::from_secs(rng.random_range(5..25))).await;
    fault::heal(mesh).await;
    caller::go_on(mesh, CALM).await;
}

async fn all_out(mesh: &Mesh, rng: &mut SmallRng) {
    let Some(capability) = mesh.capabilities.choose(rng) else { return };
    mesh.promise.make(Promised::Nothing);
    let outage = Outage::any(rng);
    capability.providers.iter().for_each(|index| fault::agent_out(mesh, *index, outage));
    sleep(Duration::from_secs(rng.random_range(3..40))).await;
    fault::heal(mesh).await;
}

async fn breaks(mesh: &Mesh, rng: &mut SmallRng) {
    sleep(REFILLED).await;
    mesh.promise.make(Promised::SafeCalls);
    for _ in 0..4 {
        fault::break_none(mesh);
        for caller in 0..mesh.nodes.len() {
            let Some(capability) = mesh.capabilities.choose(rng).cloned() else { continue };
            let mut others = mesh.others(caller, &capability);
            // Whoever has nobody else may meet an open breaker instead of an answer.
            others.retain(|agent| mesh.caller_does_without(caller, &[*agent]));
            others.choose(rng).iter().for_each(|agent| fault::break_next(mesh, caller, **agent));
            let mesh = mesh.clone();
            tokio::spawn(async move { _ = caller::call(&mesh, caller, &capability, WISH).await });
        }
        sleep(Duration::from_millis(1_500)).await;
    }
    mesh.promise.make(Promised::Nothing);
    fault::break_none(mesh);
    fault::heal(mesh).await;
}

async fn sick(mesh: &Mesh, rng: &mut SmallRng) {
    mesh.promise.make(Promised::Nothing);
    for caller in 0..mesh.nodes.len() {
        let Some(capability) = mesh.capabilities.iter().find(|one| !one.is_safe) else { return };
        let others = mesh.others(caller, capability);
        let Some(agent) = others.choose(rng) else { continue };
        // Of two that are out for such reasons the one serves on that is due back first.
        if !recovery::all_closed(mesh, caller, capability).await {
            continue;
        }
        fault::sicken(mesh, *agent);
        let mut failed = 0;
        for _ in 0..IN_A_ROW {
            failed += usize::from(!caller::call(mesh, caller, capability, WISH).await);
        }
        let name = &capability.name;
        if others.len() > 1 && failed > MAY_FAIL {
            let all = IN_A_ROW;
            mesh.trace.violated(format_args!("{failed} of {all} calls of {name} by agent-{caller} fail"));
        }
        fault::heal(mesh).await;
        if !caller::call(mesh, caller, capability, WISH).await {
            mesh.trace.violated(format_args!("agent-{caller} has nobody for {name} though all are well"));
        }
    }
}

async fn leave(mesh: &Mesh, rng: &mut SmallRng) {
    let leavers = (0..mesh.nodes.len()).filter(|index| mesh.does_without(&[*index])).collect::<Vec<_>>();
    let Some(leaver) = leavers.choose(rng).copied() else { return };
    mesh.trace.note(format_args!("agent-{leaver} leaves"));
    mesh.nodes[leaver].sidecar.leave().await;
    recovery::expect_forgotten(mesh, leaver).await;
    mesh.nodes[leaver].agent.crash();
    caller::go_on(mesh, CALM).await;
    fault::heal(mesh).await;
}

async fn storm(mesh: &Mesh, rng: &mut SmallRng) {
    mesh.promise.make(Promised::Nothing);
    for _ in 0..rng.random_range(8..20) {
        fault::anything(mesh, rng).await;
        sleep(Duration::from_millis(rng.random_range(200..3_000))).await;
        if rng.random_bool(0.1) {
            fault::heal(mesh).await;
        }
    }
    fault::heal(mesh).await;
}
