//! What the handlers of the localhost port work with.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mesh_daemon::alarm::Alarms;
use mesh_mcp::raw::Pieces;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::linger::{admit, linger};
use crate::discovery::Discovery;
use crate::endpoint::Endpoints;
use crate::error::CallError;
use crate::flights::Flights;
use crate::metrics::Metrics;
use crate::offer::Offer;
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
    /// Which tools our agent is offered.
    pub offer: Arc<Offer>,
    /// Calls of clients that may cancel them.
    pub flights: Flights,
    /// Says when streams that have no end of their own have to end.
    pub closing: CancellationToken,
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

/// Time that a caller may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

// === impl State ===

impl State {
    /// Reads a body to its end.
    ///
    /// # Errors
    /// When it is too large, breaks off, or takes too long.
    pub async fn read(&self, body: Incoming) -> Result<Bytes, CallError> {
        let mut body = admit(body, self.max_body)?;
        let mut reading = pin!(async move {
            let (mut size, mut pieces) = (0, Pieces::default());
            while !body.is_end_stream()
                && let Some(frame) = body.frame().await
            {
                let piece = frame.map_err(|_| CallError::BodyIncomplete)?.into_data().unwrap_or_default();
                size += piece.len();
                if size > self.max_body {
                    linger(body);
                    return Err(CallError::BodyTooLarge(self.max_body));
                }
                pieces.push(piece);
            }
            Ok(pieces.whole())
        });
        // Most bodies come with their head, and need no limit.
        if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
            return read;
        }
        let limited = self.alarms.limit(Instant::now() + BODY_TIMEOUT, reading).await;
        limited.unwrap_or(Err(CallError::BodyIncomplete))
    }
}
