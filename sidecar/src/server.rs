//! The sidecar's lifecycle on one screen: bind, start what runs beside, serve, drain, join.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_client::client::Client;
use mesh_client::error::ClientError;
use mesh_daemon::listen::Listener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::api::state::State;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::endpoint::Endpoints;
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::outbound::{Limits, Outbound};
use crate::pool::Connector;
use crate::registration::{Registrar, Stage};
use crate::routing::Routing;
use crate::{health, prober};

/// A sidecar that is bound and not running yet.
pub struct Server {
    listener: Listener,
    api: Api,
    client: Client,
    endpoints: Arc<Endpoints>,
    manifest: Option<Manifest>,
    stage: watch::Sender<Stage>,
    metrics: Arc<Metrics>,
    connect_timeout: Duration,
    drain_timeout: Duration,
}

/// Why a sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be bound.
    #[error("cannot listen on {address}: is another sidecar running? Set --listen to another address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The client of the registry cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Server {
    /// Binds the agent's localhost port and puts the rooms together.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: &Config, manifest: Option<Manifest>) -> Result<Self, StartError> {
        let address = config.listen;
        let listener =
            Listener::bind(address).await.map_err(|source| StartError::Bind { address, source })?;
        let client = Client::new(&config.registries, config.registry_timeout)?;
        let metrics = Arc::new(Metrics::default());
        let endpoints =
            Arc::new(Endpoints::new(Connector::new(config.connect_timeout), Arc::clone(&metrics)));
        let discovery = Arc::new(Discovery::new(
            client.clone(),
            Arc::clone(&endpoints),
            config.ages,
            Arc::clone(&metrics),
        ));
        let own_id = manifest.as_ref().map(|manifest| manifest.registration.id.clone());
        let routing = Arc::new(Routing::new(Arc::clone(&discovery), own_id));
        let limits = Limits { max_retries: config.max_retries, max_in_flight: config.max_in_flight };
        let namespace =
            manifest.as_ref().map_or(&config.namespace, |manifest| &manifest.registration.namespace);
        let (stage, stage_seen) = watch::channel(Stage::NoAgent);
        let state = State {
            outbound: Outbound::new(Arc::clone(&routing), limits, Arc::clone(&metrics)),
            routing,
            discovery,
            metrics: Arc::clone(&metrics),
            stage: stage_seen,
            namespace: namespace.clone(),
            timeout: config.call_timeout,
            timeouts: manifest.as_ref().map(|manifest| manifest.timeouts.clone()).unwrap_or_default(),
        };
        Ok(Self {
            listener,
            api: Api::new(Arc::new(state)),
            client,
            endpoints,
            manifest,
            stage,
            metrics,
            connect_timeout: config.connect_timeout,
            drain_timeout: config.drain_timeout,
        })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `stop`; then takes the agent out of the registry, lets calls in flight end, and returns.
    pub async fn run(self, stop: CancellationToken) {
        let beside = CancellationToken::new();
        let prober = tokio::spawn(prober::run(self.endpoints, self.connect_timeout, beside.clone()));
        let agent = self.manifest.map(|manifest| {
            let (is_up, up_seen) = watch::channel(false);
            let probing = tokio::spawn(health::run(manifest.probe, is_up, beside.clone()));
            let registrar =
                Registrar::new(self.client, manifest.registration, up_seen, self.stage, self.metrics);
            (probing, tokio::spawn(registrar.run(stop.clone())))
        });
        // Outbound calls go on while the agent is taken out: it may need them to finish its work.
        let taken_out = CancellationToken::new();
        let serving = self.listener.serve(self.api, taken_out.clone(), self.drain_timeout);
        let drained = async {
            stop.cancelled().await;
            if let Some((probing, registrar)) = agent {
                join(registrar).await;
                probing.abort();
            }
            taken_out.cancel();
        };
        tokio::join!(serving, drained);
        beside.cancel();
        join(prober).await;
    }
}

async fn join(task: JoinHandle<()>) {
    if let Err(fault) = task.await {
        tracing::error!(%fault, "a background task broke");
    }
}
