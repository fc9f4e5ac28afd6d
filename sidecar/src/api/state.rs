//! What the handlers of the localhost port work with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::discovery::Discovery;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::registration::Stage;
use crate::routing::Routing;

/// What the handlers of the localhost port work with.
pub struct State {
    /// Carries calls out.
    pub outbound: Outbound,
    /// Knows where a call can go.
    pub routing: Arc<Routing>,
    /// Remembers what the registry said.
    pub discovery: Arc<Discovery>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where our agent's registration stands.
    pub stage: watch::Receiver<Stage>,
    /// Namespace of calls that name none.
    pub namespace: String,
    /// Time for calls that name none.
    pub timeout: Duration,
    /// The same for the dependencies of the manifest.
    pub timeouts: HashMap<String, Duration>,
}
