//! A sidecar of the simulation: the real rooms and the real tasks beside them, over the simulated network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use mesh_client::client::Client;
use mesh_daemon::settings;
use mesh_sidecar::api::Api;
use mesh_sidecar::config::{Config, PROGRAM};
use mesh_sidecar::inventory::Document;
use mesh_sidecar::keeper::{Keeper, Mode};
use mesh_sidecar::manifest::{self, Manifest};
use mesh_sidecar::registration::{Registrar, Reporting, Stage};
use mesh_sidecar::rooms::Rooms;
use mesh_sidecar::{health, prober};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::network::Network;
use crate::transport::FromHost;

/// Where agents call their sidecar.
pub(crate) const PORT: u16 = 15_001;
/// Time for taking the agent out of the registry at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// As shipped: read once, because setting up a client for the real network takes its time.
static SHIPPED: LazyLock<Config> = LazyLock::new(|| {
    let config = settings::load(&PROGRAM, [PROGRAM.name.into()], Config::read);
    config.unwrap_or_else(|_| panic!("the settings as shipped are well"))
});

/// A sidecar. Clones are the same.
#[derive(Clone)]
pub(crate) struct Sidecar {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    config: Config,
    manifest: Manifest,
    network: Network,
    life: Arc<Mutex<Option<Life>>>,
}

struct Life {
    host: Host,
    stage: watch::Receiver<Stage>,
    /// Has the agent taken out.
    stop: CancellationToken,
}

/// Reads the settings, which leaves something to chance, before a story begins.
pub(crate) fn read_settings() {
    LazyLock::force(&SHIPPED);
}

impl Sidecar {
    /// A sidecar that is not running yet.
    pub(crate) fn new(
        at: IpAddr,
        registry: SocketAddr,
        manifest: &str,
        mode: Mode,
        network: &Network,
    ) -> Self {
        let manifest = manifest::parse(manifest, "manifest", |_| None);
        let config = Config { registries: vec![format!("http://{registry}")], mode, ..SHIPPED.clone() };
        Self {
            address: SocketAddr::new(at, PORT),
            config,
            manifest: manifest.unwrap_or_else(|_| panic!("the manifest is well")),
            network: network.clone(),
            life: Arc::default(),
        }
    }

    /// Starts it.
    pub(crate) fn start(&self) {
        let (host, config, manifest) =
            (Host::start(&self.network, self.address.ip()), &self.config, self.manifest.clone());
        let transport = Arc::new(FromHost(host.clone()));
        let client = Client::over(transport, &config.registries, config.registry_timeout)
            .expect("the address of a registry");
        let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
        let rooms = Rooms::new(config, Some(&manifest), client.clone(), Arc::new(host.clone()), own);
        let (stage, stage_seen) = watch::channel(Stage::NoAgent);
        let (stop, beside) = (CancellationToken::new(), CancellationToken::new());
        let state = rooms.state(config, Some(&manifest), stage_seen.clone(), stop.clone());
        let api = Api::new(Arc::new(state));
        let (is_up, up_seen) = watch::channel(false);
        let registry = Reporting { client, gate: rooms.gate, metrics: rooms.metrics };
        let registrar = Registrar::new(registry, Document::fixed(manifest.registration), up_seen, stage);
        host.spawn(prober::run(rooms.endpoints, beside.clone()));
        host.spawn(Keeper::new(rooms.discovery, rooms.targets, config.mode, None).run(beside.clone()));
        host.spawn(health::run(manifest.probe, Arc::new(host.clone()), is_up, beside));
        host.spawn(registrar.run(stop.clone()));
        host.serve(PORT, api);
        self.with(|life| *life = Some(Life { host, stage: stage_seen, stop }));
    }

    /// Its process ends at once.
    pub(crate) fn crash(&self) {
        self.with(Option::take).iter().for_each(|life| life.host.crash());
    }

    /// Takes its agent out of the registry, and ends.
    pub(crate) async fn leave(&self) {
        let Some((stop, mut stage)) =
            self.with(|life| life.as_ref().map(|life| (life.stop.clone(), life.stage.clone())))
        else {
            return;
        };
        stop.cancel();
        // It waits no longer than that itself.
        let _ = tokio::time::timeout(FAREWELL, stage.wait_for(|stage| *stage == Stage::Gone)).await;
        self.crash();
    }

    /// The host that it runs on, if it runs: callers are there as well.
    pub(crate) fn host(&self) -> Option<Host> {
        self.with(|life| life.as_ref().map(|life| life.host.clone()))
    }

    /// Whether its agent is registered.
    pub(crate) fn is_registered(&self) -> bool {
        self.with(|life| life.as_ref().is_some_and(|life| *life.stage.borrow() == Stage::Registered))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<Life>) -> T) -> T {
        act(&mut self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
