//! The life of our own agent in the registry: registered once it is up, kept alive while it is, taken out at the end.

use std::sync::Arc;
use std::time::Duration;

use mesh_api::agent::Registration;
use mesh_api::error::Code;
use mesh_api::health::Reported;
use mesh_api::heartbeat::Heartbeat;
use mesh_client::backoff::Backoff;
use mesh_client::client::Client;
use mesh_client::dice::Dice;
use mesh_client::error::ClientError;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::gate::SharedGate;
use crate::inventory::Document;
use crate::metrics::Metrics;

/// First and longest pause between attempts while the registry is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Pause after the registry refused the document: trying again helps only when somebody mends something.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// Longest wait before registering anew with a registry that forgot us, so that a fleet does not do so all at once.
const FORGOTTEN_JITTER: Duration = Duration::from_secs(2);
/// Heartbeats keep this much distance from the exact interval, so that a fleet spreads out.
const HEARTBEAT_JITTER: f64 = 0.1;
/// Longest pause that a registry can ask for, whatever it says: an agent that is not heard for longer is forgotten.
const LONGEST_WISH: Duration = Duration::from_secs(3_600);
/// Time for taking our agent out at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where our agent's registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// There is no agent to register.
    NoAgent,
    /// The agent is not up yet.
    AwaitingAgent,
    /// Not registered yet, and why.
    Registering(String),
    /// Registered.
    Registered,
    /// Taken out.
    Gone,
}

/// Keeps our agent's registration true.
pub struct Registrar {
    client: Client,
    /// What there is to register; the agent's tools may change it.
    document: watch::Receiver<Document>,
    registration: Arc<Registration>,
    /// When the registry is told of `registration`, of which it has an older version.
    outdated: Option<Instant>,
    /// Whether our agent is up.
    is_up: watch::Receiver<bool>,
    stage: watch::Sender<Stage>,
    /// Version of the registration that the registry has; none when it has none.
    registered: Option<u64>,
    backoff: Backoff,
    gate: Arc<SharedGate>,
    metrics: Arc<Metrics>,
}

/// The registry, and whom to tell that it answers.
pub struct Reporting {
    /// Asks it.
    pub client: Client,
    /// Opens when it answers.
    pub gate: Arc<SharedGate>,
    /// What counts heartbeats.
    pub metrics: Arc<Metrics>,
}

// === impl Registrar ===

impl Registrar {
    /// Will register `document` once the agent is up.
    pub fn new(
        registry: Reporting,
        document: watch::Receiver<Document>,
        is_up: watch::Receiver<bool>,
        stage: watch::Sender<Stage>,
    ) -> Self {
        stage.send_replace(Stage::AwaitingAgent);
        let backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let Reporting { client, gate, metrics } = registry;
        let registration = Arc::clone(&document.borrow().registration);
        let outdated = None;
        Self {
            client,
            document,
            registration,
            outdated,
            is_up,
            stage,
            registered: None,
            backoff,
            gate,
            metrics,
        }
    }

    /// Registers and heartbeats until `stop`, then takes the agent out.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(stage) = self.awaited() {
            self.stage.send_replace(stage);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = self.is_up.changed() => if changed.is_err() { return },
                Ok(()) = self.document.changed() => {}
            }
        }
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = self.is_up.changed() => match changed {
                    // The registry should hear of it now, not at the next heartbeat.
                    Ok(()) => next = Instant::now(),
                    Err(_) => break,
                },
                Ok(()) = self.document.changed() => {
                    self.registration = Arc::clone(&self.document.borrow_and_update().registration);
                    next = Instant::now();
                    self.outdated = Some(next);
                }
                () = sleep_until(next) => next = Instant::now() + self.tick().await,
            }
        }
        self.take_out().await;
    }

    /// What is waited for before the agent can be registered.
    fn awaited(&mut self) -> Option<Stage> {
        let document = self.document.borrow_and_update().clone();
        self.registration = document.registration;
        if !*self.is_up.borrow_and_update() {
            return Some(Stage::AwaitingAgent);
        }
        document.pending.map(Stage::Registering)
    }

    /// Registers or heartbeats, whichever is due; returns the pause until the next time.
    async fn tick(&mut self) -> Duration {
        if self.registered.is_none()
            && let Err(fault) = self.register().await
        {
            return self.pause_after(&fault);
        }
        if self.outdated.is_some_and(|due| due <= Instant::now())
            && let Err(fault) = self.register().await
        {
            let pause = self.pause_after(&fault);
            if fault.is_outage() {
                return pause;
            }
            // The registry keeps what it has, and that is kept alive.
            self.outdated = Some(Instant::now() + pause);
        }
        match self.heartbeat().await {
            Ok(pause) => pause,
            Err(fault) if fault.code() == Some(Code::AgentNotFound) => {
                tracing::warn!(
                    agent.id = self.registration.id,
                    "the registry does not know our agent any more"
                );
                self.registered = None;
                self.stage.send_replace(Stage::Registering("the registry forgot our agent".to_owned()));
                FORGOTTEN_JITTER.mul_f64(Dice.random_range(0.0..1.0))
            }
            Err(fault) => self.pause_after(&fault),
        }
    }

    async fn register(&mut self) -> Result<(), ClientError> {
        let registered = self.client.register(&self.registration).await?;
        let id = &self.registration.id;
        for warning in &registered.warnings {
            tracing::warn!(agent.id = id, warning, "the registry has a remark on our registration");
        }
        tracing::info!(
            agent.id = id,
            endpoint = self.registration.endpoint,
            resource_version = registered.resource_version,
            "our agent is registered"
        );
        self.registered = Some(registered.resource_version);
        self.outdated = None;
        self.stage.send_replace(Stage::Registered);
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<Duration, ClientError> {
        let status = if *self.is_up.borrow() { Reported::Healthy } else { Reported::Degraded };
        let heartbeat = Heartbeat {
            agent_id: self.registration.id.clone(),
            status,
            metadata: serde_json::Map::new(),
            resource_version: self.registered,
        };
        let answer = self.client.heartbeat(&heartbeat).await;
        self.metrics.heartbeat_sent(answer.is_ok());
        let answer = answer?;
        self.backoff.reset();
        self.gate.succeeded();
        if self.registered != Some(answer.resource_version) {
            // Somebody else registered our id, or the registry restored an older document: ours must stand.
            self.register().await?;
        }
        let spread = Dice.random_range(1.0 - HEARTBEAT_JITTER..1.0 + HEARTBEAT_JITTER);
        let interval = Duration::try_from_secs_f64(answer.next_heartbeat_in * spread);
        Ok(interval.unwrap_or(PAUSES.1).clamp(PAUSES.0 / 10, LONGEST_WISH))
    }

    fn pause_after(&mut self, fault: &ClientError) -> Duration {
        let (id, reason) = (&self.registration.id, chain(fault));
        let is_registered = self.registered.is_some();
        if !is_registered {
            self.stage.send_replace(Stage::Registering(reason.clone()));
        }
        if fault.is_outage() {
            tracing::warn!(agent.id = id, reason, is_registered, "the registry is away; calls go on");
            let wish = fault.retry_after().unwrap_or_default().min(LONGEST_WISH);
            return wish.max(self.backoff.pause(&mut Dice));
        }
        tracing::error!(agent.id = id, reason, "the registry refuses our agent; see to its manifest");
        REFUSED_PAUSE
    }

    async fn take_out(&self) {
        if self.registered.is_some() {
            let id = &self.registration.id;
            match timeout(FAREWELL, self.client.deregister(id)).await {
                Ok(Ok(())) => tracing::info!(agent.id = id, "our agent is taken out of the registry"),
                Ok(Err(fault)) => {
                    tracing::warn!(agent.id = id, reason = chain(&fault), "our agent stays registered")
                }
                Err(_) => {
                    tracing::warn!(agent.id = id, "our agent stays registered: the registry did not answer")
                }
            }
        }
        self.stage.send_replace(Stage::Gone);
    }
}

// === impl Stage ===

impl Stage {
    /// Whether the sidecar is ready to be used, and if not, why.
    ///
    /// # Errors
    /// The reason.
    pub fn readiness(&self) -> Result<(), String> {
        match self {
            Self::NoAgent | Self::Registered => Ok(()),
            Self::AwaitingAgent => Err("our agent is not up yet".to_owned()),
            Self::Registering(reason) => Err(format!("our agent is not registered yet: {reason}")),
            Self::Gone => Err("this sidecar is going away".to_owned()),
        }
    }
}
