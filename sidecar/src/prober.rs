//! Timer: probes endpoints whose breakers have been open for long enough, out of band, before a call is risked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoints;

/// How often breakers are looked at. Well below the shortest time open, 1 s.
const TICK: Duration = Duration::from_millis(100);

/// Probes until `stop`; each probe takes at most `limit`.
pub async fn run(endpoints: Arc<Endpoints>, limit: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => tick(&endpoints, limit).await,
            () = stop.cancelled() => return,
        }
    }
}

async fn tick(endpoints: &Endpoints, limit: Duration) {
    let known = endpoints.all();
    join_all(known.iter().map(|endpoint| endpoint.probe_if_due(limit))).await;
}
