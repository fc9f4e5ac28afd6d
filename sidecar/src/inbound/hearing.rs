//! What our agent of an older revision says on the way to an answer, and the answer.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use mesh_mcp::call::{self, Post};
use mesh_mcp::error::AnswerError;
use mesh_mcp::front::relay::ask::{Ask, Told};
use mesh_mcp::front::relay::said::{Kind, Said};
use mesh_mcp::message::ServerMessage;
use mesh_mcp::peer::Peer;
use mesh_mcp::sse::{COMMENT, Events, event};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::endpoint::Endpoint;
use crate::error::AttemptError;
use crate::patience::Limits;
use crate::pool::Content;
use crate::speech::{self, end_of_stream, next_piece};
use crate::told::{self, Fault, streamed, whole};

/// A request that our agent works at. When it is dropped before it is over, the agent is told that nobody waits.
pub(super) struct Waiting {
    endpoint: Arc<Endpoint>,
    peer: Peer,
    number: u64,
    asides: Arc<Semaphore>,
    is_over: bool,
}

/// A stream of events, of which one is the answer.
pub(super) struct Hearing {
    ask: Ask,
    waiting: Waiting,
    events: Events,
    said: VecDeque<Bytes>,
    content: Content,
    limits: Limits,
    ends: Instant,
}

/// What a peer is told next.
enum Next {
    Note(Bytes),
    Answer(Told),
    /// Nothing, but the agent has given a sign of life.
    Sign,
}

/// Whether a message answers request `number`.
pub(super) fn answers(said: &Said, number: u64) -> bool {
    matches!(said.kind, Kind::Answer(answered, _) if answered == number)
}

// === impl Waiting ===

impl Waiting {
    /// Request `number` at the agent at `endpoint`, which is spoken to as a `peer` like this; `asides` are places for what it
    /// is told beside.
    pub(super) fn new(endpoint: &Arc<Endpoint>, peer: &Peer, number: u64, asides: Arc<Semaphore>) -> Self {
        Self { endpoint: Arc::clone(endpoint), peer: peer.clone(), number, asides, is_over: false }
    }

    /// There is nothing to wait for any more.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    fn tell(&self, post: Post) {
        match Arc::clone(&self.asides).try_acquire_owned() {
            Ok(place) => speech::tell(&self.endpoint, post, place),
            Err(_) => tracing::debug!("our agent takes long to be told things; something is not told"),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            self.tell(call::cancelled(&self.peer, self.number));
        }
    }
}

// === impl Hearing ===

impl Hearing {
    /// The stream `content`, that answers what was asked.
    pub(super) fn new(ask: Ask, waiting: Waiting, content: Content, limits: Limits) -> Self {
        let ends = Instant::now() + limits.longest;
        Self { ask, waiting, events: Events::default(), said: VecDeque::new(), content, limits, ends }
    }

    /// Waits for the first thing that the agent says: an answer is given whole, anything else begins a stream. A peer that
    /// takes no streams gets the answer alone.
    ///
    /// # Errors
    /// When the agent breaks off before.
    pub(super) async fn begin(mut self, takes_streams: bool) -> Result<Response<told::Body>, AttemptError> {
        loop {
            match self.next().await? {
                Next::Answer(told) => {
                    end_of_stream(self.content);
                    return Ok(whole(told));
                }
                Next::Note(note) if takes_streams => {
                    return Ok(streamed(event("message", &note), self, Self::go_on));
                }
                Next::Note(_) | Next::Sign => {}
            }
        }
    }

    /// The next piece of a stream, and what is left to tell after it.
    async fn go_on(mut self) -> Option<(Result<Bytes, Fault>, Option<Self>)> {
        let idle = self.limits.idle;
        let next = timeout_at(self.ends, timeout(idle, self.next())).await;
        let next = next.unwrap_or(Ok(Err(AttemptError::TimedOut)));
        match next.unwrap_or(Err(AttemptError::Stalled(idle))) {
            Ok(Next::Note(note)) => Some((Ok(event("message", &note)), Some(self))),
            // Whoever is at the other end waits for one as well.
            Ok(Next::Sign) => Some((Ok(COMMENT), Some(self))),
            Ok(Next::Answer(told)) => {
                end_of_stream(self.content);
                Some((Ok(event("message", &told.message)), None))
            }
            Err(fault) => Some((Err(fault.into()), None)),
        }
    }

    async fn next(&mut self) -> Result<Next, AttemptError> {
        if let Some(next) = self.take_said() {
            return Ok(next);
        }
        let piece = next_piece(&mut self.content).await?;
        let piece = piece.ok_or(AttemptError::Protocol(AnswerError::StreamEnded))?;
        let messages = self.events.take(&piece).map_err(AttemptError::Protocol)?;
        self.said.extend(messages.into_iter().map(Bytes::from));
        Ok(self.take_said().unwrap_or(Next::Sign))
    }

    /// The first of the messages that have come which is for the peer.
    fn take_said(&mut self) -> Option<Next> {
        while let Some(text) = self.said.pop_front() {
            if let Some(next) = self.take(text) {
                return Some(next);
            }
        }
        None
    }

    /// What a message of the agent is for the peer.
    fn take(&mut self, text: Bytes) -> Option<Next> {
        let said = Said::read(text.clone())?;
        match &said.kind {
            Kind::Asked(reply) => {
                self.reply(reply);
                None
            }
            _ if answers(&said, self.waiting.number) => {
                self.waiting.end();
                Some(Next::Answer(self.ask.answer(&said)))
            }
            Kind::Note(number, ..) if *number == self.waiting.number => self.ask.note(&said).map(Next::Note),
            Kind::Note(..) => None,
            // In the stream of one request everything is about that: log messages, and an answer whatever its id is.
            Kind::Answer(..) | Kind::Changed(_) | Kind::Other => match ServerMessage::read(&text).ok()? {
                ServerMessage::Other { .. } => Some(Next::Note(text)),
                ServerMessage::Result(_) | ServerMessage::Error(_) => {
                    self.waiting.end();
                    Some(Next::Answer(Told { status: StatusCode::OK, message: text }))
                }
            },
        }
    }

    /// Answers a request of the agent's own.
    fn reply(&self, reply: &[u8]) {
        let body = Bytes::copy_from_slice(reply);
        self.waiting.tell(Post { headers: self.waiting.peer.headers(""), body });
    }
}
