//! What the handlers of the localhost port work with.

use std::sync::Arc;

use http::HeaderValue;
use http_body::Body as _;
use hyper::body::Incoming;
use mesh_daemon::alarm::Alarms;
use tokio::sync::watch;

use super::linger::linger;
use crate::discovery::Discovery;
use crate::endpoint::Endpoints;
use crate::error::CallError;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::patience::Pace;
use crate::registration::Stage;
use crate::replay::Keeping;
use crate::routing::Routing;
use crate::sessions::Sessions;
use crate::target::Targets;

/// What the handlers of the localhost port work with.
pub struct State {
    /// Carries calls out.
    pub outbound: Outbound,
    /// Knows where a call can go.
    pub routing: Arc<Routing>,
    /// Knows what a call asks for.
    pub targets: Arc<Targets>,
    /// Remembers what the registry said.
    pub discovery: Arc<Discovery>,
    /// Everybody that can be called.
    pub endpoints: Arc<Endpoints>,
    /// Who serves which session.
    pub sessions: Sessions,
    /// What is kept of callers' bodies.
    pub keeping: Keeping,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where our agent's registration stands.
    pub stage: watch::Receiver<Stage>,
    /// Who calls: our agent's id.
    pub caller: Option<HeaderValue>,
    /// Largest body of a call, in bytes.
    pub max_body: usize,
    /// How streamed answers are treated.
    pub pace: Pace,
    /// What limits the time of callers' bodies.
    pub alarms: Alarms,
}

impl State {
    /// Takes a body, unless it announces to be too large.
    ///
    /// # Errors
    /// When it does.
    pub fn admit(&self, body: Incoming) -> Result<Incoming, CallError> {
        if body.size_hint().lower() > self.max_body as u64 {
            linger(body);
            return Err(CallError::BodyTooLarge(self.max_body));
        }
        Ok(body)
    }
}
