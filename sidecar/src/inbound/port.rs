//! The life of the port for peers: it serves until our agent is out of the registry, then a while longer, and then it
//! refuses everybody while the agent finishes what it has begun.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_daemon::listen::Listener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::service::Inbound;

/// Time for which peers are served on after our agent was taken out of the registry, because they still know it.
const GRACE: Duration = Duration::from_secs(3);
/// Shortest time for which they are refused then. Whoever is makes sure at the registry and does not come again, so nobody
/// has a request on its way when the port is closed: it would be cut, and could have been executed for all that the peer
/// knows. With the time before, it is longer than that for which peers use an idle connection once more (3 s, `pool`).
const REFUSING: Duration = Duration::from_secs(1);

/// Time between two looks for connections to our agent that were not used for a while.
const SWEEP: Duration = Duration::from_secs(1);

/// A bound port for peers.
pub struct Port {
    /// Where it listens.
    pub listener: Listener,
    /// What it serves.
    pub inbound: Inbound,
}

// === impl Port ===

impl Port {
    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `taken_out` and on as long as it should, but not for longer than until `cut`.
    pub async fn run(self, taken_out: CancellationToken, cut: CancellationToken) {
        let stop = CancellationToken::new();
        let serving =
            self.listener.serve_until(self.inbound.clone(), stop.clone(), cut.clone().cancelled_owned());
        let leaving = async {
            taken_out.cancelled().await;
            let closing = async {
                sleep(GRACE).await;
                tokio::join!(self.inbound.close(), sleep(REFUSING));
            };
            cut.run_until_cancelled(closing).await;
            stop.cancel();
        };
        let sweeping = async {
            loop {
                sleep(SWEEP).await;
                self.inbound.sweep();
            }
        };
        tokio::select! {
            _ = async { tokio::join!(serving, leaving) } => {}
            () = sweeping => {}
        }
    }
}
