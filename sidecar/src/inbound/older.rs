//! Our agent of an older revision, as one of the current: a request goes there in its words, and the answer comes back in
//! those of the peer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use mesh_mcp::front::relay::ask::Ask;
use mesh_mcp::front::relay::nature::{FIRST_ASK, Nature};
use mesh_mcp::front::relay::said::Said;
use mesh_mcp::front::relay::wish::{self, Wish};
use mesh_mcp::front::reply::Reply;
use mesh_mcp::headers::SESSION_ID;
use mesh_mcp::message::ServerMessage;
use mesh_mcp::param_header::ToolParams;
use mesh_mcp::peer::Peer;
use mesh_mcp::raw::Pieces;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::hearing::{Hearing, Waiting, answers};
use crate::api::relay::is_event_stream;
use crate::endpoint::Endpoint;
use crate::error::AttemptError;
use crate::hop;
use crate::passport;
use crate::patience::Limits;
use crate::pool::Content;
use crate::request::{Payload, Request};
use crate::speech::{MAX_ANSWER, US, next_piece};
use crate::told::{self, all, replied, takes_streams, whole};
use crate::wire::RequestHead;

/// What a sidecar is told that wants to listen, which none does.
const LISTEN: &str = "changes of this agent are told by the agent itself: ask it without x-mesh-translate";

/// Most that is told to the agent at once beside its requests: that one is cancelled, or an answer to a question. What is more
/// is not told.
const ASIDES: usize = 64;

/// Our agent of an older revision, after a handshake.
#[derive(Debug)]
pub struct Older {
    endpoint: Arc<Endpoint>,
    limits: Limits,
    peer: Peer,
    nature: Nature,
    /// It keeps the requests of a session apart by their ids.
    next: AtomicU64,
    /// Places for what is told to it beside its requests.
    asides: Arc<Semaphore>,
}

/// What our agent answered.
pub enum Answer {
    /// An answer in the words of the peer's revision.
    Translated(Response<told::Body>),
    /// An answer of HTTP that is no message.
    AsItIs(Response<Content>),
    /// It does not know the session, or speaks another revision by now, and has not taken the request; this is how it says
    /// so.
    NewLife(Response<told::Body>),
}

// === impl Older ===

impl Older {
    /// The agent at `endpoint`, which is spoken to as a `peer` like this and said `nature` of itself; its streams have these
    /// limits.
    pub fn new(endpoint: Arc<Endpoint>, limits: Limits, peer: Peer, nature: Nature) -> Self {
        let (next, asides) = (AtomicU64::new(FIRST_ASK), Arc::new(Semaphore::new(ASIDES)));
        Self { endpoint, limits, peer, nature, next, asides }
    }

    /// Brings its answer to a request with `head`, or the beginning of that. Dropping the future, or the body of the answer,
    /// cancels the request there. Time limits the stream that has begun; for the beginning that is up to whoever asks.
    ///
    /// # Errors
    /// How far the request came, and what happened.
    pub async fn answer(
        &self,
        head: &Parts,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Answer, AttemptError> {
        let mut ask =
            match Wish::read(&head.method, &head.headers, body, &self.nature, &ToolParams::default()) {
                Wish::Ask(ask) => ask,
                Wish::Answered(reply) | Wish::Opened(reply) => return Ok(Answer::Translated(replied(reply))),
                Wish::Cancel(_) => return Ok(Answer::Translated(replied(Reply::accepted()))),
                Wish::Listen(_) => {
                    let refusal = wish::unread(StatusCode::NOT_FOUND, LISTEN);
                    return Ok(Answer::Translated(replied(refusal)));
                }
            };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let line = ask.line(number, US);
        ask.was_sent();
        let mut waiting = Waiting::new(&self.endpoint, &self.peer, number, Arc::clone(&self.asides));
        let request = Request::new(self.head(head, deadline), Payload::Whole(line.into()));
        let response = self.endpoint.pool.send(request).await;
        let mut response = response.inspect_err(|_| waiting.end())?;
        let status = response.status();
        if status.is_informational() {
            return Err(AttemptError::Status { status, body: String::new() });
        }
        if status.is_success() && is_event_stream(response.headers()) {
            let hearing = Hearing::new(ask, waiting, response.into_body(), self.limits);
            return hearing.begin(takes_streams(&head.headers)).await.map(Answer::Translated);
        }
        let has_message = status.is_success() || status.is_client_error();
        if !has_message || status == StatusCode::TOO_MANY_REQUESTS {
            waiting.end();
            keep_to_ourselves(response.headers_mut());
            return Ok(Answer::AsItIs(response));
        }
        let answer = self.read(&ask, number, response).await?;
        waiting.end();
        Ok(answer)
    }

    /// An answer that is no stream.
    async fn read(
        &self,
        ask: &Ask,
        number: u64,
        response: Response<Content>,
    ) -> Result<Answer, AttemptError> {
        let (mut head, content) = response.into_parts();
        let text = collect(content).await?;
        keep_to_ourselves(&mut head.headers);
        let message = ServerMessage::read(&text).ok();
        let is_lost = self.peer.session_is_lost(head.status, message.as_ref());
        let is_of_a_new_life = is_lost || self.peer.era_has_changed(head.status, message.as_ref());
        let answer = Said::read(text.clone()).filter(|said| answers(said, number));
        let response = match answer {
            Some(said) if !is_of_a_new_life => whole(ask.answer(&said)),
            _ => Response::from_parts(head, all(text)),
        };
        Ok(if is_of_a_new_life { Answer::NewLife(response) } else { Answer::Translated(response) })
    }

    fn head(&self, given: &Parts, deadline: Instant) -> RequestHead {
        let mut given = given.clone();
        // First what the peer may take out, then what it may not.
        hop::strip_for_agent(&mut given.headers);
        let of_this_hop: Vec<_> = given.headers.keys().filter(|name| is_of_mcp(name)).cloned().collect();
        of_this_hop.iter().for_each(|name| drop(given.headers.remove(name)));
        given.headers.extend(self.peer.headers(""));
        head(&self.endpoint, given, deadline)
    }
}

/// The head of a request to our agent: that which was `given`, and what is left of the time until `deadline`.
pub fn head(endpoint: &Endpoint, given: Parts, deadline: Instant) -> RequestHead {
    let mut headers = given.headers;
    hop::strip_for_agent(&mut headers);
    let mut head = RequestHead::new(given.method, &given.uri);
    head.add(&HOST, &endpoint.pool.address().authority);
    headers.iter().for_each(|(name, value)| head.add(name, value));
    passport::stamp_time(&mut head, deadline.saturating_duration_since(Instant::now()));
    head
}

/// Headers in which the revisions of the protocol differ, and one that would make the answer unreadable here.
fn is_of_mcp(name: &HeaderName) -> bool {
    name.as_str().starts_with("mcp-") || [ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE].contains(name)
}

/// Takes out what ends here: also the session, in which the agent would take whoever names it for us.
fn keep_to_ourselves(headers: &mut HeaderMap) {
    hop::strip(headers);
    headers.remove(SESSION_ID);
}

async fn collect(mut content: Content) -> Result<Bytes, AttemptError> {
    let (mut pieces, mut size) = (Pieces::default(), 0);
    while let Some(piece) = next_piece(&mut content).await? {
        size += piece.len();
        if size > MAX_ANSWER {
            return Err(AttemptError::TooLarge(MAX_ANSWER));
        }
        pieces.push(piece);
    }
    Ok(pieces.whole())
}
