//! Timer: probes endpoints whose breakers have been open for long enough, out of band, before a call is risked, and closes
//! connections that nobody uses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoints;

/// How often breakers are looked at. Well below the shortest time open, 1 s.
const TICK: Duration = Duration::from_millis(100);

/// Probes until `stop`.
pub async fn run(endpoints: Arc<Endpoints>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => tick(&endpoints).await,
        }
    }
}

async fn tick(endpoints: &Endpoints) {
    let known = endpoints.all();
    known.iter().for_each(|endpoint| endpoint.pool.sweep());
    join_all(known.iter().map(|endpoint| endpoint.probe_if_due())).await;
}
