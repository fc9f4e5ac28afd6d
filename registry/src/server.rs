//! The life of the process: bind, open, serve, drain. Every background task is spawned in [`Server::run`], but for those
//! of a store.

mod gate;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use mesh_daemon::listen::Listener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::gate::Gate;
use crate::catalog::Catalog;
use crate::catalog::keeping::Keeping;
use crate::config::Config;
use crate::feed::{Feed, FeedError, StreamEnded};
use crate::http::{Limits, router};
use crate::registrar::Registrar;
use crate::service::Registry;
use crate::store::Store;
use crate::store::error::OpenError;
use crate::store::url::StoreUrl;
use crate::sweeper::{Schedule, Sweeper};

/// Time for which a client's connection may take nothing of what is sent to it, such as a watcher that does not read: as
/// long as a client has for sending.
const STALL: Duration = Duration::from_secs(10);

/// How many flushes registries that share a store may be apart in noticing that an agent has fallen silent: one on its
/// way, two by which the silence of agents that others hear begins later, one look each, and some for busy machines.
const PULSES_APART: u32 = 10;

/// A registry that is bound to its port.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    config: Config,
}

/// A registry without a port: its routes, and the two tasks that keep them true.
#[derive(Debug)]
pub struct Rooms {
    /// The routes.
    pub router: Router,
    /// Brings the store's changes into the catalog; registrations wait for it.
    pub feed: Feed,
    /// Watches the health of agents.
    pub sweeper: Sweeper,
    /// Ends all watches when it is cancelled: they do not end by themselves.
    pub watches: CancellationToken,
    /// What keeps the registrations.
    pub store: Arc<Store>,
}

/// Why the registry does not run, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the store")]
    Store(#[from] OpenError),
    /// What judges and tells the store has panicked: the registry would go on with health of yesterday.
    #[error("the health of agents is not looked at any more, the log says why")]
    Sweeper,
    /// The store is gone, so changes would not be seen any more, or it holds what is no registration.
    #[error("the catalog cannot be fed from {store}")]
    Feed {
        /// The store.
        store: StoreUrl,
        /// Why not.
        source: FeedError,
    },
}

// === impl Server ===

impl Server {
    /// Binds the port.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn bind(config: Config) -> Result<Self, ServerError> {
        let address = config.listen;
        let bound = Listener::bind(address);
        let listener = bound.map_err(|source| ServerError::Bind { address, source })?.cut_stalled(STALL);
        Ok(Self { listener, config })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Opens the store and loads the catalog, while whoever comes is told to try again. Then serves until `stop` is
    /// cancelled, drains, and tells the store what it has not been told yet.
    ///
    /// # Errors
    /// When the store cannot be used, or ended its change stream.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServerError> {
        let Self { listener, config } = self;
        let (address, gate) = (listener.local_addr(), Gate::default());
        let (requests, timers) = (stop.child_token(), CancellationToken::new());
        // A task of its own, which answers while the catalog is filled.
        let mut serving = tokio::spawn(listener.serve(gate.clone(), requests.clone(), config.drain_timeout));
        let rooms = tokio::select! {
            rooms = Rooms::open(&config) => rooms,
            _ = &mut serving => return Ok(()),
        };
        let rooms = match rooms {
            Ok(rooms) => rooms,
            Err(fault) => {
                serving.abort();
                return Err(fault);
            }
        };
        gate.open(rooms.router);
        tracing::info!(%address, store = %config.store, "mesh-registry is listening");
        let mut feed = tokio::spawn(rooms.feed.run());
        let mut sweeper = tokio::spawn(rooms.sweeper.run(timers.clone()));
        tokio::spawn(end_watches(requests.clone(), rooms.watches));
        let outcome = tokio::select! {
            _ = &mut serving => Ok(()),
            _ = &mut feed => Err(ServerError::Feed { store: config.store, source: StreamEnded.into() }),
            _ = &mut sweeper => Err(ServerError::Sweeper),
        };
        requests.cancel();
        if !serving.is_finished() {
            // What it has to say is said by its connections.
            let _ = serving.await;
        }
        timers.cancel();
        if !sweeper.is_finished() {
            // Whether it came to its end or not, nothing is left for it to do.
            let _ = sweeper.await;
        }
        rooms.store.leave().await;
        feed.abort();
        outcome
    }
}

async fn end_watches(stopped: CancellationToken, watches: CancellationToken) {
    stopped.cancelled().await;
    watches.cancel();
}

// === impl Rooms ===

impl Rooms {
    /// Opens the store and loads the catalog.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn open(config: &Config) -> Result<Self, ServerError> {
        Self::over(Store::open(&config.store, config.query_timeout).await?, config).await
    }

    /// Loads the catalog from a store that is open already.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn over(store: Store, config: &Config) -> Result<Self, ServerError> {
        let now = Instant::now();
        let store = Arc::new(store);
        let keeping = Keeping {
            answers: config.max_cache_size,
            changes: config.watch_history,
            overlap: store.pulse().map_or(Duration::ZERO, |pulse| pulse * PULSES_APART),
            retention: config.retention,
        };
        let catalog = Arc::new(Catalog::new(config.agent_types.clone(), keeping, now));
        let feed = Feed::start(store.changes().await?, Arc::clone(&catalog)).await;
        let feed = feed.map_err(|source| ServerError::Feed { store: config.store.clone(), source })?;
        let registrar = Arc::new(Registrar::new(Arc::clone(&catalog), Arc::clone(&store)));
        let (known, patience) = (Arc::clone(&catalog), config.query_timeout);
        let registry = Registry::new(known, Arc::clone(&registrar), Arc::clone(&store), patience, now);
        let watches = CancellationToken::new();
        let limits = Limits {
            max_document_bytes: config.max_document_bytes,
            cache_ttl: config.cache_ttl,
            max_watchers: config.max_watchers,
        };
        let schedule = Schedule { interval: config.health_check_interval, retention: config.retention };
        let sweeper = Sweeper::new(catalog, Arc::clone(&store), registrar, schedule, now);
        Ok(Self {
            router: router(Arc::new(registry), limits, watches.clone()),
            feed,
            sweeper,
            watches,
            store,
        })
    }
}
