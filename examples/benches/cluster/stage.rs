//! Registries that share an etcd, and a fleet that is registered with them.

use std::path::Path;
use std::time::Duration;

use mesh_examples::loadgen::fill;
use mesh_examples::loadgen::fleet::Fleet;
use mesh_examples::loadgen::server::Server;
use mesh_examples::loadgen::upkeep::{Rates, Upkeep};

use crate::Flags;
use crate::etcd::Etcd;

/// Capabilities of each agent.
const CAPABILITIES: u16 = 3;
/// Connections that register a fleet.
const FILLING: usize = 128;

/// Registries and their fleet.
pub(crate) struct Stage {
    pub(crate) replicas: Vec<Server>,
    pub(crate) fleet: Fleet,
    pub(crate) etcd: Etcd,
    /// How long the fleet took to register.
    pub(crate) filling: Duration,
}

impl Stage {
    /// Starts everything and registers the fleet.
    pub(crate) async fn set(flags: &Flags) -> anyhow::Result<Self> {
        let etcd = Etcd::start(&flags.etcd, flags.members).await?;
        let registry = Path::new(env!("CARGO_BIN_EXE_registry-under-load"));
        let fleet = Fleet { agents: flags.agents, capabilities: CAPABILITIES, seed: 1, distinct: false };
        let mut replicas = Vec::new();
        for _ in 0..flags.replicas.max(1) {
            replicas.push(Server::registry(registry, &etcd.url, &[]).await?);
        }
        let filling = fill::register(&replicas[0].base, fleet, FILLING).await?;
        fill::beat(&replicas[0].base, fleet, FILLING).await?;
        Ok(Self { replicas, fleet, etcd, filling })
    }

    /// Lets heartbeats arrive at all registries, and registrations at the first.
    pub(crate) fn upkeep(&self, heartbeats: u32, registrations: u32) -> anyhow::Result<Vec<Upkeep>> {
        let heartbeats_per_second = heartbeats.div_ceil(self.replicas.len() as u32);
        let each = self.replicas.iter().enumerate().map(|(number, replica)| {
            let registrations_per_second = if number == 0 { registrations } else { 0 };
            let rates = Rates { heartbeats_per_second, registrations_per_second };
            let first = self.fleet.agents * number / self.replicas.len();
            Upkeep::start_with(&replica.base, self.fleet, rates, first)
        });
        each.collect()
    }
}
