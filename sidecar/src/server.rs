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
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::bridge::Bridge;
use crate::bridge::supervisor::{Charge, Supervisor};
use crate::config::Config;
use crate::copy::Copy;
use crate::destination::Destinations;
use crate::dial::{Dialer, HostNetwork};
use crate::endpoint::Endpoints;
use crate::health::Probe;
use crate::inbound::local::{self, LocalAgent};
use crate::inbound::port::Port;
use crate::inventory::{Document, Inventory};
use crate::keeper::Keeper;
use crate::manifest::Manifest;
use crate::own_agent::{HttpAgent, OwnAgent};
use crate::registration::{Registrar, Reporting, Stage};
use crate::rooms::Rooms;
use crate::{health, prober};

/// A sidecar that is bound and not running yet.
pub struct Server {
    listener: Listener,
    api: Api,
    /// For peers, if that port is on.
    port: Option<Port>,
    /// Cancelled as soon as we know that we will go.
    leaving: CancellationToken,
    registry: Reporting,
    endpoints: Arc<Endpoints>,
    keeper: Keeper,
    agent: Option<OurAgent>,
    stage: watch::Sender<Stage>,
    /// Cancelled when the localhost port accepts nothing new.
    closing: CancellationToken,
    drain_timeout: Duration,
}

/// Our agent, and what looks after it.
struct OurAgent {
    probe: Probe,
    /// What a person should know about it.
    remarks: Vec<String>,
    inventory: Option<Inventory>,
    document: watch::Receiver<Document>,
    /// Keeps its program running, and whether that can be asked, if we run it.
    running: Option<(Supervisor, watch::Receiver<bool>)>,
}

/// Our agent as a program that we run.
struct Bridged {
    bridge: Arc<Bridge>,
    supervisor: Supervisor,
    is_up: watch::Receiver<bool>,
}

/// Why a sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("cannot listen on {address}: is another sidecar running? Set --{setting} to another address")]
    Bind {
        /// What names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Our agent cannot be called.
    #[error("the port for peers cannot serve our agent: {0}")]
    Agent(String),
    /// Our agent cannot be asked for its tools.
    #[error("our agent cannot be asked for its tools at {endpoint}: {reason}")]
    Unasked {
        /// Where it listens.
        endpoint: String,
        /// What is wrong with that.
        reason: String,
    },
    /// The client of the registry cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Server {
    /// Binds the agent's localhost port, and the one for peers if that is on, and puts the rooms together.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: &Config, mut manifest: Option<Manifest>) -> Result<Self, StartError> {
        let listener = bind("listen", config.listen, config).await?;
        let client = Client::new(&config.registries, config.registry_timeout)?;
        let rooms = Rooms::new(
            config,
            manifest.as_ref(),
            client.clone(),
            Arc::new(HostNetwork),
            listener.local_addr(),
        );
        let (leaving, mut port, mut bridged) = (CancellationToken::new(), None, None);
        if let (Some(address), Some(manifest)) = (config.inbound, &mut manifest) {
            let (agent, runs) = local_agent(config, manifest, &leaving).map_err(StartError::Agent)?;
            bridged = runs;
            let inbound = rooms.inbound(config, agent, leaving.clone());
            let bound = Port { listener: bind("inbound", address, config).await?, inbound };
            manifest.advertise_inbound(bound.local_addr());
            port = Some(bound);
        }
        let (stage, stage_seen) = watch::channel(Stage::NoAgent);
        let closing = CancellationToken::new();
        let api = Api::new(Arc::new(rooms.state(config, manifest.as_ref(), stage_seen, closing.clone())));
        let copy = config.discovery_file.as_ref().map(Copy::at);
        copy.iter().for_each(|copy| copy.load(&rooms.discovery));
        let keeper = Keeper::new(rooms.discovery, rooms.targets, config.mode, copy);
        Ok(Self {
            listener,
            api,
            port,
            leaving,
            registry: Reporting { client, gate: rooms.gate, metrics: rooms.metrics },
            endpoints: rooms.endpoints,
            keeper,
            agent: manifest
                .map(|manifest| OurAgent::of(manifest, config.connect_timeout, bridged))
                .transpose()?,
            stage,
            closing,
            drain_timeout: config.drain_timeout,
        })
    }

    /// The agent's localhost port.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The port for peers, if that is on.
    pub fn inbound_addr(&self) -> Option<SocketAddr> {
        self.port.as_ref().map(Port::local_addr)
    }

    /// What a person should know although it is no fault.
    pub fn remarks(&self) -> Vec<String> {
        self.agent.iter().flat_map(|agent| agent.remarks.iter().cloned()).collect()
    }

    /// Serves until `stop`; then takes the agent out of the registry, lets calls in flight end, first those of peers, and
    /// returns.
    pub async fn run(self, stop: CancellationToken) {
        let beside = CancellationToken::new();
        let prober = tokio::spawn(prober::run(self.endpoints, beside.clone()));
        let keeper = tokio::spawn(self.keeper.run(beside.clone()));
        let mut supervising = None;
        let agent = self.agent.map(|agent| {
            let (up_seen, probing) = match agent.running {
                Some((supervisor, up_seen)) => {
                    supervising = Some(tokio::spawn(supervisor.run(beside.clone())));
                    (up_seen, None)
                }
                None => {
                    let (is_up, up_seen) = watch::channel(false);
                    let network = Arc::new(HostNetwork);
                    (up_seen, Some(tokio::spawn(health::run(agent.probe, network, is_up, beside.clone()))))
                }
            };
            let asking = agent.inventory.map(|inventory| inventory.run(up_seen.clone(), beside.clone()));
            let beside = [probing, asking.map(tokio::spawn)];
            let registrar = Registrar::new(self.registry, agent.document, up_seen, self.stage);
            (beside, tokio::spawn(registrar.run(stop.clone())))
        });
        let [taken_out, cut] = [(); 2].map(|()| CancellationToken::new());
        let (leaving, drain_timeout) = (self.leaving, self.drain_timeout);
        let draining = tokio::spawn({
            let (taken_out, cut) = (taken_out.clone(), cut.clone());
            async move {
                stop.cancelled().await;
                leaving.cancel();
                if let Some((beside, registrar)) = agent {
                    join(registrar).await;
                    beside.iter().flatten().for_each(JoinHandle::abort);
                }
                taken_out.cancel();
                sleep(drain_timeout).await;
                cut.cancel();
            }
        });
        // Our agent may need calls of its own to finish its work, so those go on until it has.
        let closing = self.closing.clone();
        let serving = self.listener.serve_until(self.api, closing, cut.clone().cancelled_owned());
        let serving_peers = async {
            match self.port {
                Some(port) => port.run(taken_out, cut).await,
                None => taken_out.cancelled().await,
            }
            self.closing.cancel();
        };
        tokio::join!(serving, serving_peers);
        draining.abort();
        beside.cancel();
        if let Some(supervising) = supervising {
            join(supervising).await;
        }
        join(prober).await;
        join(keeper).await;
    }
}

/// Our agent as the port for peers sees it.
fn local_agent(
    config: &Config,
    manifest: &Manifest,
    leaving: &CancellationToken,
) -> Result<(LocalAgent, Option<Bridged>), String> {
    let Some(program) = manifest.program.clone() else {
        let agent = local::HttpAgent::new(
            &manifest.registration.id,
            &manifest.endpoint,
            Arc::new(HostNetwork),
            config,
        )?;
        return Ok((LocalAgent::Http(agent), None));
    };
    let charge = Charge::of(&manifest.registration.id, program);
    let (bridge, supervisor, is_up) = Bridge::new(charge, config.pace, leaving.clone());
    let bridge = Arc::new(bridge);
    let agent = LocalAgent::Program(Arc::clone(&bridge), manifest.endpoint.clone());
    Ok((agent, Some(Bridged { bridge, supervisor, is_up })))
}

/// A port that no client holds for ever by reading nothing.
async fn bind(setting: &'static str, address: SocketAddr, config: &Config) -> Result<Listener, StartError> {
    let listener = Listener::bind(address);
    let listener = listener.map_err(|source| StartError::Bind { setting, address, source })?;
    Ok(listener.cut_stalled(config.pace.limits.idle))
}

impl OurAgent {
    /// The agent of `manifest`; a connection to it is given `connect_timeout`.
    fn of(
        manifest: Manifest,
        connect_timeout: Duration,
        bridged: Option<Bridged>,
    ) -> Result<Self, StartError> {
        let remarks = manifest.remarks();
        let Manifest { registration, endpoint, probe, tools, .. } = manifest;
        let (bridge, running) = bridged.map(|it| (it.bridge, (it.supervisor, it.is_up))).unzip();
        let Some(plan) = tools else {
            let document = Document::fixed(registration);
            return Ok(Self { probe, remarks, inventory: None, document, running });
        };
        let agent: Arc<dyn OwnAgent> = match bridge {
            Some(bridge) => bridge,
            None => {
                // Where providers may be says nothing about the agent beside us.
                let dialer = Dialer::new(Arc::new(HostNetwork), Destinations::default(), connect_timeout);
                let agent = HttpAgent::new(&registration.id, &endpoint, dialer);
                Arc::new(agent.map_err(|reason| StartError::Unasked { endpoint, reason })?)
            }
        };
        let (inventory, document) = Inventory::new(agent, registration, plan);
        Ok(Self { probe, remarks, inventory: Some(inventory), document, running })
    }
}

async fn join(task: JoinHandle<()>) {
    if let Err(fault) = task.await {
        tracing::error!(%fault, "a background task broke");
    }
}
