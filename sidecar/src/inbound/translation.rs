//! Our agent of an older revision of MCP, for peers' sidecars, which speak the current one: handshake, session and
//! cancellation stay between this sidecar and the agent.
//!
//! Only what a peer's sidecar asks for itself is translated ([`passport::wants_translation`]): it offers the agent nothing
//! that a translation could lose. A client that is passed through to the agent speaks with it in whichever revision both
//! know.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::Method;
use http::request::Parts;
use mesh_mcp::front::relay::nature::Nature;
use mesh_mcp::headers::METHOD;
use mesh_mcp::peer::Peer;

use super::older::Older;
use crate::endpoint::Endpoint;
use crate::error::AttemptError;
use crate::passport;
use crate::patience::Limits;
use crate::retry::Reached;
use crate::speech::shake_hands;

/// The method with which a peer's sidecar makes sure whom it speaks with.
const DISCOVER: &str = "server/discover";

/// Knows whether our agent is to be translated.
#[derive(Debug)]
pub struct Translator {
    endpoint: Arc<Endpoint>,
    limits: Limits,
    known: ArcSwapOption<Known>,
}

/// What was found out about our agent.
#[derive(Debug)]
struct Known {
    older: Option<Arc<Older>>,
}

// === impl Translator ===

impl Translator {
    /// The translator of the agent at `endpoint`, whose streams have these limits.
    pub fn new(endpoint: Arc<Endpoint>, limits: Limits) -> Self {
        Self { endpoint, limits, known: ArcSwapOption::empty() }
    }

    /// Whether a request should be translated if the agent is of an older revision.
    pub fn is_wanted(&self, head: &Parts) -> bool {
        head.method == Method::POST
            && passport::wants_translation(&head.headers)
            && head.uri.path_and_query() == self.endpoint.pool.address().path.path_and_query()
    }

    /// Our agent, if it is of an older revision. A peer that makes sure whom it speaks with is taken for a sign that it may be
    /// another one by now.
    ///
    /// # Errors
    /// When the agent cannot be reached to find that out.
    pub async fn older(&self, head: &Parts) -> Result<Option<Arc<Older>>, AttemptError> {
        let asks = head.headers.get(METHOD).is_some_and(|method| method == DISCOVER);
        match self.known.load_full() {
            Some(known) if known.older.is_some() || !asks => Ok(known.older.clone()),
            // In a box: nearly all requests come by here and find that it is known.
            before => Box::pin(self.find_out(before)).await,
        }
    }

    /// Forgets what was found out, as the agent has begun a new life; unless it was found out anew since.
    pub fn forget(&self, older: &Arc<Older>) {
        let known = self.known.load();
        let is_same = |known: &Arc<Known>| known.older.as_ref().is_some_and(|now| Arc::ptr_eq(now, older));
        if known.as_ref().is_some_and(is_same) {
            self.known.compare_and_swap(&known, None);
        }
    }

    /// Finds out what was not known, or was `before` and has to be made sure of. Once for all who ask at the same time.
    async fn find_out(&self, before: Option<Arc<Known>>) -> Result<Option<Arc<Older>>, AttemptError> {
        let _one = self.endpoint.handshake.lock().await;
        if let Some(known) = self.known.load_full()
            && before.is_none_or(|before| !Arc::ptr_eq(&before, &known))
        {
            return Ok(known.older.clone());
        }
        let (peer, told) = match shake_hands(&self.endpoint).await {
            Ok(known) => known,
            Err(fault) if fault.reached() == Reached::Nobody => return Err(fault),
            // It redirects, is busy, or breaks: it says so to the peer itself.
            Err(_) => return Ok(None),
        };
        tracing::debug!(agent.id = self.endpoint.agent_id, ?peer, "found out how our agent speaks MCP");
        let nature = told.and_then(|told| Nature::read(told.as_bytes()));
        let older = matches!(peer, Peer::Handshaken { .. }).then(|| {
            let nature = nature.unwrap_or_else(Nature::unknown);
            Arc::new(Older::new(Arc::clone(&self.endpoint), self.limits, peer, nature))
        });
        self.known.store(Some(Arc::new(Known { older: older.clone() })));
        Ok(older)
    }
}
