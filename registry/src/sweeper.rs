//! The timer beside the lines. One half judges: it notices changes of status and lets agents expire. The other half
//! keeps: it flushes heartbeats and changes of health to the store, in one batch a tick, and removes agents that are
//! long gone. The first never waits for the store, and nothing on the way of a request waits for either.

mod judge;
mod keeper;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::judge::Judge;
use self::keeper::Keeper;
use crate::catalog::Catalog;
use crate::registrar::Registrar;
use crate::store::Store;

/// How often it sweeps, and what it removes.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Time between two ticks.
    pub interval: Duration,
    /// Time that expired agents are kept, and that a silent fleet is waited for.
    pub retention: Duration,
}

/// Sweeps the catalog.
#[derive(Debug)]
pub struct Sweeper {
    judge: Judge,
    keeper: Keeper,
    interval: Duration,
}

impl Sweeper {
    /// Sweeps `catalog` from `now` on.
    pub fn new(
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        registrar: Arc<Registrar>,
        schedule: Schedule,
        now: Instant,
    ) -> Self {
        let judge = Judge::new(Arc::clone(&catalog), Arc::clone(&store), schedule.retention, now);
        let keeper = Keeper::new(catalog, store, registrar, schedule.retention);
        Self { judge, keeper, interval: schedule.interval }
    }

    /// Sweeps until `stop` is cancelled, then flushes once more. What is being told to the store is told to its end.
    pub async fn run(self, stop: CancellationToken) {
        let Self { mut judge, keeper, interval } = self;
        let news = Notify::new();
        let judging = async {
            let mut timer = ticks(interval);
            while stop.run_until_cancelled(timer.tick()).await.is_some() {
                if judge.judge(Instant::now()) {
                    news.notify_one();
                }
            }
        };
        let keeping = async {
            let mut timer = ticks(keeper.pulse().unwrap_or(interval));
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    _ = timer.tick() => {
                        keeper.flush().await;
                        keeper.sum_up().await;
                        keeper.remove_gone(Instant::now()).await;
                    }
                    () = news.notified() => keeper.flush().await,
                }
            }
        };
        tokio::join!(judging, keeping);
        keeper.flush().await;
    }

    /// One tick of both halves, one after the other: what `run` comes to when the store is quick.
    pub async fn tick(&mut self, now: Instant) {
        self.keeper.flush().await;
        if self.judge.judge(now) {
            self.keeper.flush().await;
        }
        self.keeper.remove_gone(now).await;
    }
}

fn ticks(every: Duration) -> Interval {
    let mut timer = interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
