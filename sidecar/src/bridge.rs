//! The bridge: our agent as a program that speaks over its standard input and output, for many peers over HTTP at once.
//!
//! [`supervisor`] keeps the program running, below a [`crate::warden`]; `talk` is one conversation with it, which many
//! requests share; [`stream`] gives answers as they come. What the eras of the protocol differ in is translated by
//! [`mesh_mcp::front::relay`]. This room has no port of its own: whoever listens for peers hands requests over.

pub mod stream;
pub mod supervisor;

pub mod child;
mod greeting;

mod hearing;
mod murmur;

mod lines;
pub mod restarts;
pub mod talk;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use mesh_mcp::front::relay::ask::Ask;
use mesh_mcp::front::relay::listening::Listening;
use mesh_mcp::front::relay::said::List;
use mesh_mcp::front::relay::wish::{self, Wish};
use mesh_mcp::front::reply::Reply;
use mesh_mcp::headers::SESSION_ID;
use mesh_mcp::message::ServerMessage;
use mesh_mcp::param_header::ToolParams;
use mesh_mcp::raw::RawJson;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::stream::{Following, Telling};
use self::supervisor::{Charge, State, Supervisor};
use self::talk::{Name, Over, Talk};
use crate::own_agent::{AskError, OwnAgent};
use crate::passport::REFUSED;
use crate::patience::Pace;
use crate::told::{Body, replied, takes_streams, whole};

/// Where the agent is.
pub const PATH: &str = "/mcp";
/// Requests that the program works at, at once.
const IN_FLIGHT: usize = 64;
/// Requests that wait for a place among those.
const QUEUED: usize = 1_024;
/// Clients that listen to changes: few of the places that the port for peers has, so that calls find some.
const LISTENERS: usize = 64;
/// When to ask again while too much is asked, in seconds.
const SOON: u64 = 1;

/// Hands requests to the program of our agent.
#[derive(Debug)]
pub struct Bridge {
    state: watch::Receiver<State>,
    places: Arc<Semaphore>,
    queued: AtomicUsize,
    listeners: Arc<Semaphore>,
    pace: Pace,
    leaving: CancellationToken,
}

/// A place in the queue.
struct Queued<'b>(&'b AtomicUsize);

// === impl Bridge ===

impl Bridge {
    /// A bridge to a program, what keeps that running, and whether it can be asked. Streams are kept
    /// alive and limited as `pace` says; once `leaving` is cancelled, clients that only listen are let go.
    pub fn new(
        charge: Charge,
        pace: Pace,
        leaving: CancellationToken,
    ) -> (Self, Supervisor, watch::Receiver<bool>) {
        let (state, seen) = watch::channel(State::Down(Instant::now()));
        let (is_up, up_seen) = watch::channel(false);
        let bridge = Self {
            state: seen,
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            queued: AtomicUsize::new(0),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            pace,
            leaving,
        };
        (bridge, Supervisor::new(charge, state, is_up), up_seen)
    }

    /// Answers a request to the agent, which is at [`PATH`] and whose tools have `params` that stand in headers. Dropping the
    /// future, or the body of the answer, cancels it at the program.
    pub async fn answer(&self, head: &Parts, body: Bytes, params: &ToolParams) -> Response<Body> {
        if head.uri.path() != PATH {
            let reason = format!("this agent is at {PATH} and nowhere else");
            return replied(wish::unread(StatusCode::NOT_FOUND, &reason));
        }
        let (method, headers) = (&head.method, &head.headers);
        let state = self.state.borrow().clone();
        let talk = match state {
            State::Up(talk) => talk,
            State::Down(until) => return down(until),
        };
        let session = headers.get(SESSION_ID).cloned();
        match Wish::read(method, headers, &body, &talk.nature, params) {
            Wish::Answered(reply) => replied(reply),
            Wish::Opened(reply) => opened(reply),
            Wish::Cancel(id) => {
                talk.cancel(&Name { session, id });
                replied(Reply::accepted())
            }
            Wish::Listen(listening) => self.follow(&talk, listening),
            Wish::Ask(ask) => self.ask(&talk, ask, session, takes_streams(headers)).await,
        }
    }

    async fn ask(
        &self,
        talk: &Arc<Talk>,
        mut ask: Ask,
        session: Option<HeaderValue>,
        takes_streams: bool,
    ) -> Response<Body> {
        let place =
            if ask.listens() { self.listeners.clone().try_acquire_owned().ok() } else { self.place().await };
        let Some(place) = place else { return too_much(&ask) };
        let (keep_alive, ends, leaving) = self.limits();
        match talk.ask(&ask, session).await {
            Ok(asked) => {
                ask.was_sent();
                Telling { ask, asked, place, keep_alive, ends, leaving }.begin(takes_streams).await
            }
            Err(Over) => down(Instant::now()),
        }
    }

    /// A place among the requests in flight, perhaps after a while; `None` when too many wait already.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Some(place);
        }
        let queued = Queued(&self.queued);
        if queued.0.fetch_add(1, Ordering::Relaxed) >= QUEUED {
            return None;
        }
        self.places.clone().acquire_owned().await.ok()
    }

    /// The silence after which a stream gets a comment, when it ends, and what lets it go before.
    fn limits(&self) -> (Duration, Instant, CancellationToken) {
        (self.pace.keep_alive, Instant::now() + self.pace.limits.longest, self.leaving.clone())
    }

    fn follow(&self, talk: &Talk, listening: Listening) -> Response<Body> {
        let (keep_alive, ends, leaving) = self.limits();
        match (talk.follow(), self.listeners.clone().try_acquire_owned()) {
            (Ok(changes), Ok(place)) => {
                Following { listening, changes, place, keep_alive, ends, leaving }.begin()
            }
            (Err(Over), _) => down(Instant::now()),
            (_, Err(_)) => {
                let reason = "too many clients listen to this agent already";
                unseen(replied(wish::unread(StatusCode::TOO_MANY_REQUESTS, reason)), SOON, "full")
            }
        }
    }
}

impl OwnAgent for Bridge {
    fn ask<'a>(
        &'a self,
        method: &'static str,
        params: &'a Map<String, Value>,
    ) -> BoxFuture<'a, Result<RawJson, AskError>> {
        Box::pin(async move {
            let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let mut head = Request::new(()).into_parts().0;
            (head.method, head.uri) = (Method::POST, Uri::from_static(PATH));
            let none = ToolParams::default();
            let answer = self.answer(&head, question.to_string().into(), &none);
            let body = answer.await.into_body().collect().await.map_err(AskError::Failed)?;
            match ServerMessage::read(&body.to_bytes()).map_err(|fault| AskError::Failed(fault.into()))? {
                ServerMessage::Result(result) => Ok(result),
                ServerMessage::Error(error) => Err(AskError::Refused { method, error }),
                ServerMessage::Other { .. } => Err(AskError::Failed("its answer is none".into())),
            }
        })
    }

    fn listen<'a>(&'a self, heard: &'a Notify) -> BoxFuture<'a, Result<(), AskError>> {
        Box::pin(async move {
            let state = self.state.borrow().clone();
            let State::Up(talk) = state else { return Ok(()) };
            if !talk.nature.announces() {
                return Err(AskError::Silent);
            }
            let Ok(mut changes) = talk.follow() else { return Ok(()) };
            drop(talk);
            heard.notify_one();
            loop {
                match changes.recv().await {
                    Ok(List::Tools) | Err(RecvError::Lagged(_)) => heard.notify_one(),
                    Ok(List::Prompts | List::Resources) => {}
                    Err(RecvError::Closed) => return Ok(()),
                }
            }
        })
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// With a session of its own, which means nothing to us but whose cancellations are meant: clients of older revisions give
/// ids that others give as well.
fn opened(reply: Reply) -> Response<Body> {
    let mut response = replied(reply);
    let session = format!("{:032x}", rand::random::<u128>());
    response.headers_mut().extend(HeaderValue::try_from(session).map(|session| (SESSION_ID, session)));
    response
}

fn too_much(ask: &Ask) -> Response<Body> {
    let reason =
        format!("{IN_FLIGHT} requests are in flight at this agent and {QUEUED} wait, which is the most");
    unseen(whole(ask.refusal(StatusCode::TOO_MANY_REQUESTS, &reason)), SOON, "full")
}

fn down(until: Instant) -> Response<Body> {
    let seconds = until.saturating_duration_since(Instant::now()).as_secs() + SOON;
    let reason = "the agent beside this sidecar is down and is started again";
    unseen(replied(wish::unread(StatusCode::SERVICE_UNAVAILABLE, reason)), seconds, "away")
}

/// Marks a refusal: the program has seen nothing of the request, so a peer's sidecar goes elsewhere.
fn unseen(mut refusal: Response<Body>, seconds: u64, reason: &'static str) -> Response<Body> {
    refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    refusal.headers_mut().insert(REFUSED.clone(), HeaderValue::from_static(reason));
    refusal
}
