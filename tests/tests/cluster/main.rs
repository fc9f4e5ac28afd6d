//! Several registries on a real etcd of three members, and everything that breaks. In each case nothing that was
//! acknowledged is lost, nobody who lives expires, and all registries come to know the same; how long it took is printed.

#![cfg(test)]

mod engine;
mod more;
mod replicas;
mod sidecars;

use std::net::SocketAddr;

use mesh_tests::cutter::Cutter;
use mesh_tests::etcd::{Etcd, store_url};
use mesh_tests::exchange;
use mesh_tests::fleet::Fleet;
use mesh_tests::registry::TestRegistry;
use mesh_tests::wait::until;
use tokio::sync::{Mutex, MutexGuard};

const MEMBERS: usize = 3;
const REPLICAS: usize = 3;
const AGENTS: usize = 45;

/// One cluster at a time: members that wait for a processor take each other for dead.
static TURN: Mutex<()> = Mutex::const_new(());

/// Registries that share an etcd.
struct Cluster {
    etcd: Etcd,
    replicas: Vec<Replica>,
    _turn: MutexGuard<'static, ()>,
}

/// A registry, and its ways to each member of etcd.
struct Replica {
    registry: TestRegistry,
    ways: Vec<Cutter>,
}

impl Cluster {
    async fn start() -> Self {
        let turn = TURN.lock().await;
        let etcd = Etcd::start(MEMBERS).await;
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(Replica::start(&etcd).await);
        }
        Self { etcd, replicas, _turn: turn }
    }

    /// Where the registries are.
    fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.registry.address).collect()
    }

    /// Their URLs.
    fn urls(&self) -> Vec<String> {
        self.replicas.iter().map(|replica| replica.registry.url()).collect()
    }

    /// Waits until this registry says that it lets nobody expire, or that it does.
    async fn is_frozen(&self, replica: usize, frozen: bool) {
        let registry = &self.replicas[replica].registry;
        until(&format!("expiry of registry {replica} is frozen: {frozen}"), async || {
            let health = exchange::get(registry.address, "/health").await.ok()?;
            (health.json()["expiry_frozen"] == frozen).then_some(())
        })
        .await;
    }

    /// Waits until all registries but the first have missed it, and have taken in that it is gone.
    async fn others_take_over(&self) {
        for frozen in [true, false] {
            for other in 1..self.replicas.len() {
                self.is_frozen(other, frozen).await;
            }
        }
    }

    /// Agents at work, watched by all registries.
    async fn fleet(&self) -> Fleet {
        let mut fleet = Fleet::start(AGENTS, &self.urls()).await;
        self.addresses().into_iter().for_each(|registry| fleet.witness(registry));
        fleet.converges(&self.addresses()).await;
        fleet
    }
}

impl Replica {
    async fn start(etcd: &Etcd) -> Self {
        Self::start_at(etcd, ([127, 0, 0, 1], 0).into()).await
    }

    async fn start_at(etcd: &Etcd, address: SocketAddr) -> Self {
        let mut ways = Vec::new();
        for member in etcd.clients() {
            ways.push(Cutter::to(*member).await);
        }
        let store = store_url(ways.iter().map(|way| way.address));
        Self { registry: TestRegistry::start(&address.to_string(), &store, &[]).await, ways }
    }
}
