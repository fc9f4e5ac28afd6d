//! What our agent of an older revision says on the way to an answer, and the answer.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use mesh_mcp::call::{self, Post};
use mesh_mcp::error::AnswerError;
use mesh_mcp::front::relay::ask::{Ask, Told};
use mesh_mcp::front::relay::said::{Kind, Said};
use mesh_mcp::peer::Peer;
use mesh_mcp::sse::{Events, event};
use tokio::time::{Instant, timeout, timeout_at};

use crate::endpoint::Endpoint;
use crate::error::{AttemptError, chain};
use crate::patience::Limits;
use crate::pool::Content;
use crate::speech::{self, end_of_stream, next_piece};
use crate::told::{self, streamed, whole};

/// A request that our agent works at. When it is dropped before it is over, the agent is told that nobody waits.
pub(super) struct Waiting {
    endpoint: Arc<Endpoint>,
    peer: Peer,
    number: u64,
    is_over: bool,
}

/// A stream of events, of which one is the answer.
pub(super) struct Hearing {
    ask: Ask,
    waiting: Waiting,
    events: Events,
    said: VecDeque<Said>,
    content: Content,
    limits: Limits,
    ends: Instant,
}

/// What a peer is told next.
enum Next {
    Note(Bytes),
    Answer(Told),
}

/// Whether a message answers request `number`.
pub(super) fn answers(said: &Said, number: u64) -> bool {
    matches!(said.kind, Kind::Answer(answered, _) if answered == number)
}

// === impl Waiting ===

impl Waiting {
    /// Request `number` at the agent at `endpoint`, which is spoken to as a `peer` like this.
    pub(super) fn new(endpoint: &Arc<Endpoint>, peer: &Peer, number: u64) -> Self {
        Self { endpoint: Arc::clone(endpoint), peer: peer.clone(), number, is_over: false }
    }

    /// There is nothing to wait for any more.
    pub(super) fn is_over(&mut self) {
        self.is_over = true;
    }

    fn tell(&self, post: Post) {
        speech::tell(&self.endpoint, post);
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
                Next::Note(_) => {}
            }
        }
    }

    /// The next piece of a stream, and what is left to tell after it.
    async fn go_on(mut self) -> Option<(Bytes, Option<Self>)> {
        let idle = self.limits.idle;
        let next = timeout_at(self.ends, timeout(idle, self.next())).await;
        let failure = match next {
            Ok(Ok(Ok(Next::Note(note)))) => return Some((event("message", &note), Some(self))),
            Ok(Ok(Ok(Next::Answer(told)))) => {
                end_of_stream(self.content);
                return Some((event("message", &told.message), None));
            }
            Ok(Ok(Err(fault))) => fault,
            Ok(Err(_)) => AttemptError::Stalled(idle),
            Err(_) => AttemptError::TimedOut,
        };
        let told = self.ask.failure(&chain(&failure));
        Some((event("message", &told.message), None))
    }

    async fn next(&mut self) -> Result<Next, AttemptError> {
        loop {
            while let Some(said) = self.said.pop_front() {
                match &said.kind {
                    Kind::Asked(reply) => self.reply(reply),
                    _ if answers(&said, self.waiting.number) => {
                        self.waiting.is_over = true;
                        return Ok(Next::Answer(self.ask.answer(&said)));
                    }
                    _ => {
                        if let Some(note) = self.ask.note(&said) {
                            return Ok(Next::Note(note));
                        }
                    }
                }
            }
            let piece = next_piece(&mut self.content).await?;
            let piece = piece.ok_or(AttemptError::Protocol(AnswerError::StreamEnded))?;
            let messages = self.events.take(&piece).map_err(AttemptError::Protocol)?;
            self.said.extend(messages.into_iter().filter_map(|message| Said::read(message.into())));
        }
    }

    /// Answers a request of the agent's own.
    fn reply(&self, reply: &[u8]) {
        let body = Bytes::copy_from_slice(reply);
        self.waiting.tell(Post { headers: self.waiting.peer.headers(""), body });
    }
}
