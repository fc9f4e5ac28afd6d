//! Looks after what discovery remembers: asks for the dependencies of our agent before the first call, forgets what nobody
//! uses, watches the registry for what is used, and keeps a copy on the disk for the next start.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_api::query::CapabilityQuery;
use mesh_client::backoff::Backoff;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::copy::Copy;
use crate::discovery::{Discovery, ProviderSlot};
use crate::error::chain;
use crate::target::Targets;

/// Time between two rounds.
const TICK: Duration = Duration::from_secs(1);
/// First and longest pause before a watch that has ended is opened anew. Long enough that a fleet whose registry went away
/// does not come back to it all at once.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
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
    watches: HashMap<CapabilityQuery, AbortHandle>,
}

// === impl Keeper ===

impl Keeper {
    /// Will look after `discovery`, with the dependencies among `targets`.
    pub fn new(discovery: Arc<Discovery>, targets: Arc<Targets>, mode: Mode, copy: Option<Copy>) -> Self {
        Self { discovery, targets, mode, copy, watches: HashMap::new() }
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tick().await,
                () = stop.cancelled() => break,
            }
        }
        self.watches.values().for_each(AbortHandle::abort);
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

    fn watch(&mut self, slots: &[Arc<ProviderSlot>]) {
        self.watches.retain(|query, watch| {
            let is_used = slots.iter().any(|slot| slot.key == *query);
            if !is_used {
                watch.abort();
            }
            is_used
        });
        for slot in slots {
            if self.watches.len() < MAX_WATCHED && !self.watches.contains_key(&slot.key) {
                let watching = tokio::spawn(follow(Arc::clone(&self.discovery), Arc::clone(slot)));
                self.watches.insert(slot.key.clone(), watching.abort_handle());
            }
        }
    }
}

/// Follows one answer, over and over. In between it is asked for as if nobody watched.
async fn follow(discovery: Arc<Discovery>, slot: Arc<ProviderSlot>) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let began = tokio::time::Instant::now();
        let Err(fault) = discovery.follow(&slot).await;
        tracing::debug!(query = %slot.key, reason = chain(&*fault), "a watch has ended");
        if began.elapsed() > PAUSES.1 {
            backoff.reset();
        }
        let pause = backoff.pause(&mut rand::rng());
        tokio::time::sleep(pause).await;
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
