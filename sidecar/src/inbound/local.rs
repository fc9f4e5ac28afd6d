//! Our agent, as the port for peers sees it: one function from a request to an answer.
//!
//! It listens for HTTP, or it is a program that we run: either takes what was asked and brings a head and a body that
//! streams, and everything before and behind that is the port's.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::{BodyExt as _, Collected};
use mesh_daemon::alarm::Alarms;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::older::{Answer, Older, head};
use super::schemas::Schemas;
use super::translation::Translator;
use crate::bridge::Bridge;
use crate::config::Config;
use crate::destination::Destinations;
use crate::dial::{Address, Dialer, Network};
use crate::endpoint::Endpoint;
use crate::error::AttemptError;
use crate::hop;
use crate::inventory::Document;
use crate::plain::blame;
use crate::pool::{Content, Pool};
use crate::replay::Replay;
use crate::request::{Payload, Request};
use crate::speech::unsent;
use crate::told;

/// Our agent.
#[derive(Debug)]
pub enum LocalAgent {
    /// It listens for HTTP.
    Http(HttpAgent),
    /// It is a program that we run.
    Program(Program),
}

/// The body of its answer.
#[derive(Debug)]
pub enum Said {
    /// It comes over HTTP.
    Http(Content),
    /// It is told in the words of another era.
    Told(told::Body),
}

/// A peer's request that was let in.
#[derive(Debug)]
pub struct Asked<'r> {
    /// Method, path, query and headers, as they came.
    pub head: Parts,
    /// None when there is no body.
    pub body: Option<&'r Replay>,
    /// When the answer must have begun.
    pub deadline: Instant,
}

/// An agent that is a program that we run.
#[derive(Debug)]
pub struct Program {
    bridge: Arc<Bridge>,
    name: String,
    schemas: Schemas,
}

/// An agent that listens for HTTP.
#[derive(Debug)]
pub struct HttpAgent {
    endpoint: Arc<Endpoint>,
    translator: Translator,
    alarms: Alarms,
}

// === impl LocalAgent ===

impl LocalAgent {
    /// Brings the head of the answer; its body comes as the agent gives it. Dropping either one tells the agent that
    /// nobody wants the answer any more.
    ///
    /// # Errors
    /// How far the request came, and what happened.
    pub async fn answer(&self, asked: Asked<'_>) -> Result<Response<Said>, AttemptError> {
        match self {
            Self::Http(agent) => agent.answer(asked).await,
            Self::Program(program) => {
                let (body, deadline) = (asked.body, asked.deadline);
                let outcome = timeout_at(deadline, program.answer(asked)).await;
                let outcome = outcome.unwrap_or(Err(AttemptError::TimedOut));
                outcome.map(|answer| answer.map(Said::Told)).map_err(|fault| blame(body, fault))
            }
        }
    }

    /// Closes connections to it that were not used for a while.
    pub fn sweep(&self) {
        match self {
            Self::Http(agent) => agent.endpoint.pool.sweep(),
            Self::Program(_) => {}
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        match self {
            Self::Http(agent) => &agent.endpoint.url,
            Self::Program(program) => &program.name,
        }
    }
}

// === impl Program ===

impl Program {
    /// The program behind `bridge`, which is called `name` and registered as `document` says.
    pub fn new(bridge: Arc<Bridge>, name: String, document: watch::Receiver<Document>) -> Self {
        Self { bridge, name, schemas: Schemas::of(document) }
    }

    /// A program takes a request as a whole.
    async fn answer(&self, asked: Asked<'_>) -> Result<Response<told::Body>, AttemptError> {
        let body = whole(asked.body).await?;
        Ok(self.bridge.answer(&asked.head, body, &self.schemas.params()).await)
    }
}

async fn whole(body: Option<&Replay>) -> Result<Bytes, AttemptError> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let whole = body.begin().collect().await;
    whole.map(Collected::to_bytes).map_err(|fault| AttemptError::Body(body.fault().unwrap_or(fault)))
}

// === impl HttpAgent ===

impl HttpAgent {
    /// The agent `id` at `url`, which is reached over `network`.
    ///
    /// # Errors
    /// Why it cannot be called.
    pub fn new(id: &str, url: &str, network: Arc<dyn Network>, config: &Config) -> Result<Self, String> {
        let dialer = Dialer::new(network, Destinations::trusted(), config.connect_timeout);
        // The admission has the say in how many there are.
        let pool = Pool::new(Address::parse(url)?, dialer, usize::MAX);
        let endpoint = Endpoint::new(id, url, pool, Arc::default());
        let translator = Translator::new(Arc::clone(&endpoint), config.pace.limits);
        Ok(Self { endpoint, translator, alarms: Alarms::default() })
    }

    async fn answer(&self, asked: Asked<'_>) -> Result<Response<Said>, AttemptError> {
        let (body, deadline) = (asked.body, asked.deadline);
        let answering = pin!(self.ask(asked));
        let outcome = self.alarms.limit(deadline, answering).await;
        outcome.unwrap_or(Err(AttemptError::TimedOut)).map_err(|fault| blame(body, fault))
    }

    async fn ask(&self, asked: Asked<'_>) -> Result<Response<Said>, AttemptError> {
        if let Some(older) = self.older(&asked).await? {
            return Box::pin(self.translate(older, asked)).await;
        }
        let body = asked.body.map(|body| Payload::Streamed(body.begin()));
        self.pass(asked.head, body.unwrap_or(Payload::Whole(Bytes::new())), asked.deadline).await
    }

    /// Our agent, if it is of an older revision and the request is to be translated for that.
    async fn older(&self, asked: &Asked<'_>) -> Result<Option<Arc<Older>>, AttemptError> {
        if !self.translator.is_wanted(&asked.head) {
            return Ok(None);
        }
        let older = pin!(self.translator.older(&asked.head));
        let older = self.alarms.limit(asked.deadline, older).await;
        // Whatever goes wrong here, the request itself was not sent.
        older.unwrap_or(Err(AttemptError::TimedOut)).map_err(unsent)
    }

    /// The answer of our agent that is an `older` one.
    async fn translate(
        &self,
        mut older: Arc<Older>,
        asked: Asked<'_>,
    ) -> Result<Response<Said>, AttemptError> {
        let Asked { head, body, deadline } = asked;
        let (body, mut is_again) = (whole(body).await?, false);
        loop {
            match older.answer(&head, &body, deadline).await? {
                Answer::NewLife(_) if !is_again => self.translator.forget(&older),
                Answer::Translated(answer) | Answer::NewLife(answer) => return Ok(answer.map(Said::Told)),
                Answer::AsItIs(answer) => return Ok(answer.map(Said::Http)),
            }
            older = match self.translator.older(&head).await? {
                Some(older) => older,
                None => return self.pass(head, Payload::Whole(body), deadline).await,
            };
            is_again = true;
        }
    }

    /// Passes on a request and the answer as they are.
    async fn pass(
        &self,
        given: Parts,
        body: Payload,
        deadline: Instant,
    ) -> Result<Response<Said>, AttemptError> {
        let request = Request::new(head(&self.endpoint, given, deadline), body);
        let mut response = self.endpoint.pool.send(request).await?;
        let status = response.status();
        // Nobody asked for another protocol.
        if status.is_informational() {
            return Err(AttemptError::Status { status, body: String::new() });
        }
        hop::strip(response.headers_mut());
        Ok(response.map(Said::Http))
    }
}
