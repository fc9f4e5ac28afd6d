//! Looks after what discovery remembers: asks for the dependencies of our agent before the first call, forgets what nobody
//! uses, watches the registry for what is used, and keeps a copy on the disk for the next start.

use std::sync::Arc;
use std::time::Duration;

use mesh_client::dice::Dice;
use rand::RngExt as _;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::copy::Copy;
use crate::discovery::{Discovery, ProviderSlot};
use crate::error::chain;
use crate::target::Targets;

/// Time between two rounds.
const TICK: Duration = Duration::from_secs(1);
/// Longest pause before a watch that has ended is opened anew, of which each takes a part at random: a registry that
/// restarts ends the watches of a whole fleet at once, and two requests of each of 1,000 are to stay below 300 a second.
/// Meanwhile answers are asked for as if nobody watched.
const SPREAD: Duration = Duration::from_secs(15);
/// Most questions that are watched: each is a connection to the registry.
const MAX_WATCHED: usize = 64;

/// How the sidecar comes to know that an answer has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It asks again when the answer has become old and is used.
    #[default]
    Poll,
    /// It watches the registry for what is used.
    Watch,
}

/// Looks after what discovery remembers.
pub struct Keeper {
    discovery: Arc<Discovery>,
    targets: Arc<Targets>,
    mode: Mode,
    copy: Option<Copy>,
    watches: Vec<Watch>,
}

/// A watch of one answer, for as long as this is held.
struct Watch {
    slot: Arc<ProviderSlot>,
    task: AbortHandle,
}

// === impl Keeper ===

impl Keeper {
    /// Will look after `discovery`, with the dependencies among `targets`.
    pub fn new(discovery: Arc<Discovery>, targets: Arc<Targets>, mode: Mode, copy: Option<Copy>) -> Self {
        Self { discovery, targets, mode, copy, watches: Vec::new() }
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.tick().await,
            }
        }
        self.watches.clear();
        if let Some(copy) = &mut self.copy {
            copy.save_now(&self.discovery).await;
        }
    }

    async fn tick(&mut self) {
        for target in self.targets.dependencies() {
            self.discovery.keep(&target.slot);
        }
        let slots = self.discovery.tidy();
        if self.mode == Mode::Watch {
            self.watch(&slots);
        }
        if let Some(copy) = &mut self.copy {
            copy.save(&self.discovery).await;
        }
    }

    /// Watches what is used, and nothing else.
    fn watch(&mut self, slots: &[Arc<ProviderSlot>]) {
        self.watches.retain(|watch| slots.iter().any(|slot| watch.is_of(slot)));
        for slot in slots {
            if self.watches.len() < MAX_WATCHED && !self.watches.iter().any(|watch| watch.is_of(slot)) {
                let task = tokio::spawn(follow(Arc::clone(&self.discovery), Arc::clone(slot)));
                self.watches.push(Watch { slot: Arc::clone(slot), task: task.abort_handle() });
            }
        }
    }
}

/// Follows one answer, over and over.
async fn follow(discovery: Arc<Discovery>, slot: Arc<ProviderSlot>) {
    loop {
        if discovery.may_ask() {
            let Err(fault) = discovery.follow(&slot).await;
            tracing::debug!(query = %slot.key, reason = chain(&*fault), "a watch has ended");
        }
        let pause = SPREAD.mul_f64(Dice.random_range(0.0..1.0));
        tokio::time::sleep(pause).await;
    }
}

// === impl Watch ===

impl Watch {
    /// A task that has broken is as good as none.
    fn is_of(&self, slot: &Arc<ProviderSlot>) -> bool {
        Arc::ptr_eq(&self.slot, slot) && !self.task.is_finished()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::str::FromStr for Mode {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "poll" => Ok(Self::Poll),
            "watch" => Ok(Self::Watch),
            _ => Err("must be poll or watch"),
        }
    }
}
