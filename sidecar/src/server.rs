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
use crate::config::Config;
use crate::copy::Copy;
use crate::dial::HostNetwork;
use crate::endpoint::Endpoints;
use crate::keeper::Keeper;
use crate::manifest::Manifest;
use crate::registration::{Registrar, Reporting, Stage};
use crate::rooms::Rooms;
use crate::{health, prober};

/// A sidecar that is bound and not running yet.
pub struct Server {
    listener: Listener,
    api: Api,
    registry: Reporting,
    endpoints: Arc<Endpoints>,
    keeper: Keeper,
    manifest: Option<Manifest>,
    stage: watch::Sender<Stage>,
    /// Says when our agent has been taken out, and nothing new is accepted.
    taken_out: CancellationToken,
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
        // An agent that stops reading must not hold its provider for ever.
        let listener = listener.cut_stalled(config.pace.limits.idle);
        let client = Client::new(&config.registries, config.registry_timeout)?;
        let rooms = Rooms::new(
            config,
            manifest.as_ref(),
            client.clone(),
            Arc::new(HostNetwork),
            listener.local_addr(),
        );
        let (stage, stage_seen) = watch::channel(Stage::NoAgent);
        let taken_out = CancellationToken::new();
        let api = Api::new(Arc::new(rooms.state(config, manifest.as_ref(), stage_seen, taken_out.clone())));
        let copy = config.discovery_file.as_ref().map(Copy::at);
        copy.iter().for_each(|copy| copy.load(&rooms.discovery));
        let keeper = Keeper::new(rooms.discovery, rooms.targets, config.mode, copy);
        Ok(Self {
            listener,
            api,
            registry: Reporting { client, gate: rooms.gate, metrics: rooms.metrics },
            endpoints: rooms.endpoints,
            keeper,
            manifest,
            stage,
            taken_out,
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
        let prober = tokio::spawn(prober::run(self.endpoints, beside.clone()));
        let keeper = tokio::spawn(self.keeper.run(beside.clone()));
        let agent = self.manifest.map(|manifest| {
            let (is_up, up_seen) = watch::channel(false);
            let network = Arc::new(HostNetwork);
            let probing = tokio::spawn(health::run(manifest.probe, network, is_up, beside.clone()));
            let registrar = Registrar::new(self.registry, manifest.registration, up_seen, self.stage);
            (probing, tokio::spawn(registrar.run(stop.clone())))
        });
        // Outbound calls go on while the agent is taken out: it may need them to finish its work.
        let taken_out = self.taken_out;
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
        join(keeper).await;
    }
}

async fn join(task: JoinHandle<()>) {
    if let Err(fault) = task.await {
        tracing::error!(%fault, "a background task broke");
    }
}
