//! The story of one seed: a mesh starts, callers call, acts follow each other, and in the end all is well.

use jiff::Timestamp;
use mesh_client::dice;
use mesh_registry::moment;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use crate::acts::Act;
use crate::mesh::Mesh;
use crate::promise::Promised;
use crate::trace::Trace;
use crate::{caller, fault, recovery, sidecar};

/// Acts of a story.
const ACTS: usize = 2;
/// Calls of each before anything happens.
const CALM: usize = 3;
/// What the wall clock shows when a story begins: some moment.
const MORNING: i64 = 1_800_000_000;

/// What came of a seed.
pub(crate) struct Ending {
    /// What happened.
    pub(crate) trace: Trace,
    /// How many calls there were, and how many were executed more than once.
    pub(crate) calls: (usize, usize),
}

/// Plays the story of a seed, on this thread alone.
pub(crate) fn play(seed: u64) -> Ending {
    sidecar::read_settings();
    dice::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime of one thread").block_on(tell(seed))
}

async fn tell(seed: u64) -> Ending {
    moment::go_together_from(Timestamp::from_second(MORNING).unwrap_or_default());
    let (trace, mut rng) = (Trace::new(), SmallRng::seed_from_u64(seed));
    let mesh = Mesh::new(seed, &mut rng, trace.clone());
    fault::heal(&mesh).await;
    recovery::expect(&mesh).await;
    mesh.promise.make(Promised::AllCalls);
    let stop = CancellationToken::new();
    for index in 0..mesh.nodes.len() {
        tokio::spawn(caller::run(mesh.clone(), index, rng.random(), stop.clone()));
    }
    caller::go_on(&mesh, CALM).await;
    let mut acts = Act::ALL;
    acts.shuffle(&mut rng);
    for act in &acts[..ACTS] {
        act.play(&mesh, &mut rng).await;
    }
    stop.cancel();
    mesh.ledger.all().await;
    mesh.trace.note("the end");
    Ending { trace, calls: mesh.ledger.count() }
}
