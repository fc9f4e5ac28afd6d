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
use crate::inbound::local::{self, LocalAgent, Program};
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
        let listener = bind("listen", config.listen, config)?;
        let client = Client::new(&config.registries, config.registry_timeout)?;
        let rooms = Rooms::new(
            config,
            manifest.as_ref(),
            client.clone(),
            Arc::new(HostNetwork),
            listener.local_addr(),
        );
        let bound = match (config.inbound, &mut manifest) {
            (Some(address), Some(manifest)) => {
                let bound = bind("inbound", address, config)?;
                manifest.advertise_inbound(bound.local_addr());
                Some(bound)
            }
            _ => None,
        };
        let (stage, stage_seen) = watch::channel(Stage::NoAgent);
        let closing = CancellationToken::new();
        let api = Api::new(Arc::new(rooms.state(config, manifest.as_ref(), stage_seen, closing.clone())));
        let copy = config.discovery_file.as_ref().map(Copy::at);
        copy.iter().for_each(|copy| copy.load(&rooms.discovery));
        let leaving = CancellationToken::new();
        let agent = manifest.map(|manifest| OurAgent::of(manifest, config, &leaving)).transpose()?;
        let (agent, local) = agent.unzip();
        let port = bound.zip(local.flatten()).map(|(listener, local)| {
            let inbound = rooms.inbound(config, local, leaving.clone());
            Port { listener, inbound }
        });
        let keeper = Keeper::new(rooms.discovery, rooms.targets, config.mode, copy);
        Ok(Self {
            listener,
            api,
            port,
            leaving,
            registry: Reporting { client, gate: rooms.gate, metrics: rooms.metrics },
            endpoints: rooms.endpoints,
            keeper,
            agent,
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

/// A port that no client holds for ever by reading nothing.
fn bind(setting: &'static str, address: SocketAddr, config: &Config) -> Result<Listener, StartError> {
    let listener = Listener::bind(address);
    let listener = listener.map_err(|source| StartError::Bind { setting, address, source })?;
    Ok(listener.cut_stalled(config.pace.limits.idle))
}

// === impl OurAgent ===

impl OurAgent {
    /// The agent of `manifest`, also as the port for peers sees it, if that is on. Once `leaving` is cancelled, clients that
    /// only listen to its program are let go.
    fn of(
        manifest: Manifest,
        config: &Config,
        leaving: &CancellationToken,
    ) -> Result<(Self, Option<LocalAgent>), StartError> {
        let remarks = manifest.remarks();
        let Manifest { registration, endpoint, probe, tools, program, .. } = manifest;
        let id = registration.id.clone();
        let (bridge, running) = program
            .map(|program| {
                let (bridge, supervisor, is_up) =
                    Bridge::new(Charge::of(&id, program), config.pace, leaving.clone());
                (Arc::new(bridge), (supervisor, is_up))
            })
            .unzip();
        let (inventory, document) = match tools {
            Some(plan) => {
                let agent = own_agent(&id, &endpoint, bridge.clone(), config.connect_timeout)?;
                let (inventory, document) = Inventory::new(agent, registration, plan);
                (Some(inventory), document)
            }
            None => (None, Document::fixed(registration)),
        };
        let local = match bridge {
            Some(bridge) => Some(LocalAgent::Program(Program::new(bridge, endpoint, document.clone()))),
            None if config.inbound.is_some() => {
                let agent = local::HttpAgent::new(&id, &endpoint, Arc::new(HostNetwork), config);
                Some(LocalAgent::Http(agent.map_err(StartError::Agent)?))
            }
            None => None,
        };
        Ok((Self { probe, remarks, inventory, document, running }, local))
    }
}

/// Our agent as somebody who can be asked.
fn own_agent(
    id: &str,
    endpoint: &str,
    bridge: Option<Arc<Bridge>>,
    connect_timeout: Duration,
) -> Result<Arc<dyn OwnAgent>, StartError> {
    if let Some(bridge) = bridge {
        return Ok(bridge);
    }
    // Where providers may be says nothing about the agent beside us.
    let dialer = Dialer::new(Arc::new(HostNetwork), Destinations::default(), connect_timeout);
    let agent = HttpAgent::new(id, endpoint, dialer);
    let agent = agent.map_err(|reason| StartError::Unasked { endpoint: endpoint.to_owned(), reason })?;
    Ok(Arc::new(agent))
}

async fn join(task: JoinHandle<()>) {
    if let Err(fault) = task.await {
        tracing::error!(%fault, "a background task broke");
    }
}
