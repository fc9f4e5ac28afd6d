//! Our own agent as somebody who can be asked: one question of MCP at a time, and what it announces unasked.
//!
//! The seam between what our agent is asked ([`crate::inventory`]) and how it is reached. [`HttpAgent`] reaches it over
//! HTTP, in whichever era it speaks; an agent that is reached in another way, such as a child that speaks over its
//! standard streams, implements [`OwnAgent`] and is handed to the inventory in its place, in `server.rs`.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mesh_mcp::answer::AnswerReader;
use mesh_mcp::call::{HANDSHAKE_ID, Post};
use mesh_mcp::error::RpcError;
use mesh_mcp::message::{ServerMessage, TOOLS_CHANGED};
use mesh_mcp::peer::Peer;
use mesh_mcp::raw::RawJson;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::dial::{Address, Dialer};
use crate::endpoint::{Endpoint, Manner};
use crate::error::AttemptError;
use crate::pool::Pool;
use crate::request::Request;
use crate::speech::{Heard, addressed, ask, exchange, listening, next_piece, speak};

/// Connections to it, those in use included: it is asked one question at a time, and listened to.
const MAX_OPEN: usize = 4;

/// Our own agent, however it is reached.
pub trait OwnAgent: Send + Sync + 'static {
    /// Asks one question and waits for its result; whoever asks sets the time limit. `params` are those of the method,
    /// without what an era of the protocol adds to them.
    fn ask<'a>(
        &'a self,
        method: &'static str,
        params: &'a Map<String, Value>,
    ) -> BoxFuture<'a, Result<RawJson, AskError>>;

    /// Listens until there is nothing more to hear, and notifies `heard` whenever the agent's tools may have changed: when
    /// it says so, and when listening begins, because what it said before was not heard.
    fn listen<'a>(&'a self, heard: &'a Notify) -> BoxFuture<'a, Result<(), AskError>>;
}

/// Why our agent's answer is not known.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It was not reached, or what it said is no answer.
    #[error("our agent cannot be asked")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// It understood the question and refused it.
    #[error("our agent refuses {method}: {} (JSON-RPC error {})", .error.message, .error.code)]
    Refused {
        /// What it was asked.
        method: &'static str,
        /// What it said.
        error: RpcError,
    },
    /// It does not announce changes.
    #[error("our agent does not announce changes of its tools")]
    Silent,
}

/// Our agent behind an HTTP endpoint. It has connections, and with an older server a session, of its own.
#[derive(Debug)]
pub struct HttpAgent {
    endpoint: Arc<Endpoint>,
    /// An older server keeps the requests of a session apart by their ids.
    next_id: AtomicU64,
}

// === impl AskError ===

impl From<AttemptError> for AskError {
    fn from(fault: AttemptError) -> Self {
        Self::Failed(Box::new(fault))
    }
}

// === impl HttpAgent ===

impl HttpAgent {
    /// The agent `id` at `url`, which is reached over `dialer`.
    ///
    /// # Errors
    /// Why the URL cannot be called.
    pub fn new(id: &str, url: &str, dialer: Dialer) -> Result<Self, String> {
        // Apart from the endpoints of the call path: it has no breaker and no part in their figures.
        let pool = Pool::new(Address::parse(url)?, dialer, MAX_OPEN);
        let endpoint = Endpoint::new(id, url, pool, Arc::default());
        Ok(Self { endpoint, next_id: AtomicU64::new(HANDSHAKE_ID + 1) })
    }

    async fn carry(&self, method: &'static str, params: &Map<String, Value>) -> Result<RawJson, AskError> {
        let (manner, mut heard) = self.once(method, params).await?;
        if heard.is_of_a_new_life(&manner.form.peer) {
            self.endpoint.manner.store(None);
            heard = self.once(method, params).await?.1;
        }
        let answer = heard.answer().map_err(AskError::from);
        let answer = answer.and_then(|answer| answer.map_err(|error| AskError::Refused { method, error }));
        // It may have been greeted while it was only half there. A session is kept: an older server would count each new
        // one.
        if answer.is_err() && !matches!(manner.form.peer, Peer::Handshaken { .. }) {
            self.endpoint.manner.store(None);
        }
        answer
    }

    async fn once(
        &self,
        method: &'static str,
        params: &Map<String, Value>,
    ) -> Result<(Arc<Manner>, Heard), AttemptError> {
        let manner = self.manner().await?;
        let heard = ask(&self.endpoint, self.post(&manner, method, params)).await?;
        Ok((manner, heard))
    }

    async fn hear(&self, changed: &Notify) -> Result<(), AskError> {
        let manner = self.manner().await?;
        let Some(request) = self.listening(&manner) else { return Err(AskError::Silent) };
        let (head, mut body) = exchange(&self.endpoint, request).await?.into_parts();
        let mut reader = AnswerReader::begin(&head.headers).map_err(AttemptError::Protocol)?;
        if !head.status.is_success() || matches!(reader, AnswerReader::Json(_)) {
            return Err(AskError::Silent);
        }
        changed.notify_one();
        while let Some(piece) = next_piece(&mut body).await? {
            let note = |note: Bytes| {
                if is_change(&note) {
                    changed.notify_one();
                }
            };
            if reader.take(piece, note).map_err(AttemptError::Protocol)?.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The request that has the agent tell of changes, if it tells.
    fn listening(&self, manner: &Manner) -> Option<Request> {
        let peer = &manner.form.peer;
        match peer {
            _ if !manner.announces_tools => None,
            Peer::Current => {
                let wanted =
                    Map::from_iter([("notifications".to_owned(), json!({"toolsListChanged": true}))]);
                Some(addressed(&self.endpoint, self.post(manner, "subscriptions/listen", &wanted)))
            }
            Peer::Handshaken { .. } => Some(listening(&self.endpoint, peer)),
            Peer::Bare => None,
        }
    }

    fn post(&self, manner: &Manner, method: &'static str, params: &Map<String, Value>) -> Post {
        manner.form.request(self.next_id.fetch_add(1, Ordering::Relaxed), method, params)
    }

    async fn manner(&self) -> Result<Arc<Manner>, AttemptError> {
        match self.endpoint.manner.load_full() {
            Some(manner) => Ok(manner),
            None => speak(&self.endpoint).await,
        }
    }
}

impl OwnAgent for HttpAgent {
    fn ask<'a>(
        &'a self,
        method: &'static str,
        params: &'a Map<String, Value>,
    ) -> BoxFuture<'a, Result<RawJson, AskError>> {
        Box::pin(self.carry(method, params))
    }

    fn listen<'a>(&'a self, heard: &'a Notify) -> BoxFuture<'a, Result<(), AskError>> {
        Box::pin(self.hear(heard))
    }
}

fn is_change(note: &Bytes) -> bool {
    matches!(ServerMessage::read(note), Ok(ServerMessage::Other { method }) if method == TOOLS_CHANGED)
}
