//! The registry of the simulation: the real one without its port, over a store in memory that may outlive it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use mesh_registry::config::Config;
use mesh_registry::server::Rooms;
use mesh_registry::store::Store;
use mesh_registry::store::memory::Memory;

use crate::host::Host;
use crate::network::Network;

/// Time that callers have for each write.
const PATIENCE: Duration = Duration::from_secs(5);

/// The registry. Clones are the same.
#[derive(Clone)]
pub(crate) struct Registry {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    network: Network,
    life: Arc<Mutex<Life>>,
}

struct Life {
    host: Option<Host>,
    kept: Arc<Memory>,
}

impl Registry {
    /// A registry that is not running yet.
    pub(crate) fn new(address: SocketAddr, network: &Network) -> Self {
        let life = Life { host: None, kept: Arc::default() };
        Self { address, network: network.clone(), life: Arc::new(Mutex::new(life)) }
    }

    /// Starts it over what is kept.
    pub(crate) async fn start(&self) {
        let host = Host::start(&self.network, self.address.ip());
        let kept = self.with(|life| {
            life.host = Some(host.clone());
            Arc::clone(&life.kept)
        });
        let rooms = Rooms::over(Store::over(kept, PATIENCE), &Config::default()).await;
        let rooms = rooms.expect("a store in memory can be read");
        host.spawn(async move { _ = rooms.feed.run().await });
        host.spawn(rooms.sweeper.run(rooms.watches));
        host.serve(self.address.port(), TowerToHyperService::new(rooms.router));
    }

    /// Its process ends.
    pub(crate) fn crash(&self) {
        self.with(|life| life.host.take()).iter().for_each(Host::crash);
    }

    /// Its host loses its power.
    pub(crate) fn darken(&self) {
        self.with(|life| life.host.take()).iter().for_each(Host::darken);
    }

    /// What it kept is lost. Only while it does not run.
    pub(crate) fn forget(&self) {
        self.with(|life| life.kept = Arc::default());
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.with(|life| life.host.is_some())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Life) -> T) -> T {
        act(&mut self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
