//! A server of tools, for clients of every era: HTTP in, HTTP out, and no transport in between.
//!
//! Nothing is remembered between two requests: no session, no stream, no handshake that must come first. So any
//! replica answers any request, a client of an older revision may open with `initialize` whenever it likes, and one
//! that never does is served too. Whoever has tools supplies [`tools::Tools`] and puts a [`Front`] behind a route.
//!
//! What differs between the eras is settled in `era`; `methods` answers. [`relay`] is a front for another server.

pub mod relay;

mod methods;

mod era;
mod passing;
mod request;

pub mod reply;

mod changes;

pub mod tools;

pub mod listing;
pub mod origins;

use http::{HeaderMap, Method, StatusCode};
use serde_json::value::RawValue;

use self::era::Era;
use self::origins::Origins;
use self::reply::{Refusal, Reply};
use self::request::{Message, Request};
use self::tools::{Server, Tools};
use crate::version::WITH_BATCHES;

/// Most messages of one batch: all their answers are in memory at once.
const MAX_BATCH: usize = 20;

/// A server of tools.
#[derive(Debug)]
pub struct Front<'f, T> {
    /// Who it is.
    pub server: &'f Server,
    /// Which web pages may ask it.
    pub origins: &'f Origins,
    /// What it offers.
    pub tools: T,
}

/// An HTTP request to a server, but for the address.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Its headers.
    pub headers: &'r HeaderMap,
    /// Its body.
    pub body: &'r [u8],
}

impl<T: Tools> Front<'_, T> {
    /// Answers a request. Dropping the future cancels the call of a tool. Of a server that announces changes, a GET and
    /// `subscriptions/listen` last as long as there is something to tell.
    pub async fn answer(&self, incoming: Incoming<'_>) -> Reply {
        if !self.origins.allow(incoming.headers) {
            return refused(&Refusal::forbidden(), None);
        }
        if incoming.method == Method::GET && self.server.announces {
            self.tools.follow(changes::for_older()).await;
            return Reply::end();
        }
        if incoming.method != Method::POST {
            return Reply::only(if self.server.announces { "GET, POST" } else { "POST" });
        }
        match request::batch(incoming.body) {
            None => self.one(incoming).await,
            Some(batch) => match batch.and_then(|batch| check_batch(batch, incoming.headers)) {
                Ok(batch) => self.batch(incoming.headers, &batch).await,
                Err(refusal) => refused(&refusal, None),
            },
        }
    }

    async fn one(&self, incoming: Incoming<'_>) -> Reply {
        match Message::read(incoming.body) {
            Ok(Message::Request(request)) => match self.request(incoming.headers, &request).await {
                Ok(message) if request.opens_session() => {
                    Reply::json(StatusCode::OK, message).in_session(self.tools.session())
                }
                Ok(message) => Reply::json(StatusCode::OK, message),
                Err(refusal) => refused(&refusal, Some(request.id)),
            },
            Ok(Message::Cancelled(id)) => {
                self.tools.cancel(id);
                Reply::accepted()
            }
            Ok(Message::Other) => Reply::accepted(),
            Err(refusal) => refused(&refusal, None),
        }
    }

    async fn request(&self, headers: &HeaderMap, request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
        let params = request.params();
        let era = Era::of(headers, request, params.as_ref().ok())?;
        methods::answer(self.server, &self.tools, era, request, params).await
    }

    /// Only an older revision knows batches, so everything in one is of the older era.
    async fn batch(&self, headers: &HeaderMap, batch: &[&RawValue]) -> Reply {
        let mut answers = Vec::new();
        for message in batch {
            match Message::read(message.get().as_bytes()) {
                Ok(Message::Request(request)) => {
                    let answer = self.request(headers, &request).await;
                    answers.push(answer.unwrap_or_else(|refusal| refusal.message(Some(request.id))));
                }
                Ok(Message::Cancelled(id)) => self.tools.cancel(id),
                Ok(Message::Other) => {}
                Err(refusal) => answers.push(refusal.message(None)),
            }
        }
        if answers.is_empty() {
            return Reply::accepted();
        }
        let list = [&b"["[..], &answers.join(&b","[..]), b"]"].concat();
        Reply::json(StatusCode::OK, list)
    }
}

fn check_batch<'b>(batch: Vec<&'b RawValue>, headers: &HeaderMap) -> Result<Vec<&'b RawValue>, Refusal> {
    let named = era::named(headers)?;
    match (named.as_deref(), batch.len()) {
        (None | Some(WITH_BATCHES), 1..=MAX_BATCH) => Ok(batch),
        (None | Some(WITH_BATCHES), _) => Err(Refusal::invalid(format!(
            "a batch must have 1 to {MAX_BATCH} messages, this has {}",
            batch.len()
        ))),
        (Some(version), _) => {
            Err(Refusal::invalid(format!("revision {version} has no batches: send messages one by one")))
        }
    }
}

fn refused(refusal: &Refusal, id: Option<&RawValue>) -> Reply {
    Reply::json(refusal.status(), refusal.message(id))
}
