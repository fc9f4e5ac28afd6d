//! The rooms of the call path, put together: what both the sidecar's port and a simulation of it work with.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use mesh_client::client::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::state::State;
use crate::config::Config;
use crate::dial::{Dialer, Network};
use crate::discovery::{Asked, Discovery};
use crate::endpoint::Endpoints;
use crate::gate::SharedGate;
use crate::inbound::local::LocalAgent;
use crate::inbound::service::Inbound;
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::offer::{Choice, Offer};
use crate::outbound::{Limits, Outbound};
use crate::provider::zone_of;
use crate::registration::Stage;
use crate::routing::Routing;
use crate::stock::Ours;
use crate::target::Targets;

/// The rooms of the call path.
pub struct Rooms {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// When the registry may be asked.
    pub gate: Arc<SharedGate>,
    /// Everybody that can be called.
    pub endpoints: Arc<Endpoints>,
    /// Remembers what the registry said.
    pub discovery: Arc<Discovery>,
    /// Knows what a call asks for.
    pub targets: Arc<Targets>,
    /// Knows where a call can go.
    pub routing: Arc<Routing>,
}

// === impl Rooms ===

impl Rooms {
    /// The rooms of a sidecar that listens at `own`, asks the registry through `client` and reaches providers over
    /// `network`.
    pub fn new(
        config: &Config,
        manifest: Option<&Manifest>,
        client: Client,
        network: Arc<dyn Network>,
        own: SocketAddr,
    ) -> Self {
        let (metrics, gate) = (Arc::new(Metrics::default()), Arc::new(SharedGate::default()));
        let destinations = config.destinations.clone().of_sidecar_at(own);
        let dialer = Dialer::new(network, destinations, config.connect_timeout);
        let endpoints = Arc::new(Endpoints::new(dialer, Arc::clone(&metrics)));
        let registration = manifest.map(|manifest| &manifest.registration);
        let zone = registration.and_then(|registration| zone_of(&registration.labels).map(str::to_owned));
        let zone = config.zone.clone().or(zone);
        let asked =
            Asked { client, gate: Arc::clone(&gate), ages: config.ages, metrics: Arc::clone(&metrics) };
        let namespace = registration.map_or(&config.namespace, |registration| &registration.namespace);
        let own_id = registration.map(|registration| registration.id.clone());
        let ours = Ours { namespace: namespace.clone(), id: own_id.clone() };
        let discovery = Arc::new(Discovery::new(asked, Arc::clone(&endpoints), zone, ours));
        let targets = Arc::new(Targets::new(
            Arc::clone(&discovery),
            Arc::clone(&metrics),
            namespace.clone(),
            manifest.map(|manifest| manifest.terms.clone()).unwrap_or_default(),
        ));
        let routing = Arc::new(Routing::new(Arc::clone(&discovery), own_id));
        Self { metrics, gate, endpoints, discovery, targets, routing }
    }

    /// What the port for peers serves.
    pub fn inbound(&self, config: &Config, agent: LocalAgent, leaving: CancellationToken) -> Inbound {
        Inbound::new(config, agent, leaving, Arc::clone(&self.metrics))
    }

    /// Carries calls out.
    pub fn outbound(&self, config: &Config) -> Outbound {
        let limits = Limits {
            max_retries: config.max_retries,
            max_in_flight: config.max_in_flight,
            timeout: config.call_timeout,
        };
        Outbound::new(Arc::clone(&self.routing), limits, Arc::clone(&self.metrics), config.access_log)
    }

    /// What the handlers of the localhost port work with.
    pub fn state(
        &self,
        config: &Config,
        manifest: Option<&Manifest>,
        stage: watch::Receiver<Stage>,
        closing: CancellationToken,
    ) -> State {
        // Whoever has no manifest is not limited by one.
        let choice = manifest.map_or(Choice { all: true, max: None }, |manifest| manifest.offered);
        let offer = Offer::new(Arc::clone(&self.discovery), Arc::clone(&self.targets), choice);
        let id = manifest.map(|manifest| manifest.registration.id.as_str());
        State {
            outbound: self.outbound(config),
            routing: Arc::clone(&self.routing),
            targets: Arc::clone(&self.targets),
            discovery: Arc::clone(&self.discovery),
            endpoints: Arc::clone(&self.endpoints),
            offer: Arc::new(offer),
            flights: Default::default(),
            closing,
            sessions: Default::default(),
            keeping: Default::default(),
            metrics: Arc::clone(&self.metrics),
            stage,
            caller: id.and_then(|id| HeaderValue::from_str(id).ok()),
            max_body: config.max_body,
            pace: config.pace,
            alarms: Default::default(),
        }
    }
}
