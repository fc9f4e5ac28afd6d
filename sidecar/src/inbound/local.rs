//! Our agent, as the port for peers sees it: one function from a request to an answer.
//!
//! It listens for HTTP, or it is a program that we run: either takes what was asked and brings a head and a body that
//! streams, and everything before and behind that is the port's.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::HOST;
use http_body_util::BodyExt as _;
use mesh_daemon::alarm::Alarms;
use tokio::time::{Instant, timeout_at};

use crate::bridge::{self, Bridge};
use crate::config::Config;
use crate::destination::Destinations;
use crate::dial::{Address, Dialer, Network};
use crate::error::AttemptError;
use crate::plain::blame;
use crate::pool::{Content, Pool};
use crate::replay::Replay;
use crate::request::{Payload, Request};
use crate::wire::RequestHead;
use crate::{hop, passport};

/// Our agent.
#[derive(Debug)]
pub enum LocalAgent {
    /// It listens for HTTP.
    Http(HttpAgent),
    /// It is a program that we run, under this name.
    Program(Arc<Bridge>, String),
}

/// The body of its answer.
#[derive(Debug)]
pub enum Said {
    /// It comes over HTTP.
    Http(Content),
    /// A program says it.
    Program(bridge::stream::Body),
}

/// A peer's request that was let in.
#[derive(Debug)]
pub struct Asked<'r> {
    /// Method, path, query and headers, as they came.
    pub head: http::request::Parts,
    /// None when there is no body.
    pub body: Option<&'r Replay>,
    /// When the answer must have begun.
    pub deadline: Instant,
}

/// An agent that listens for HTTP.
#[derive(Debug)]
pub struct HttpAgent {
    pool: Arc<Pool>,
    /// Where it listens.
    url: String,
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
            Self::Http(agent) => agent.answer(asked).await.map(|answer| answer.map(Said::Http)),
            Self::Program(bridge, _) => {
                let (body, deadline) = (asked.body, asked.deadline);
                let outcome = timeout_at(deadline, say(bridge, asked)).await;
                let outcome = outcome.unwrap_or(Err(AttemptError::TimedOut));
                outcome.map(|answer| answer.map(Said::Program)).map_err(|fault| blame(body, fault))
            }
        }
    }

    /// Closes connections to it that were not used for a while.
    pub fn sweep(&self) {
        match self {
            Self::Http(agent) => agent.pool.sweep(),
            Self::Program(..) => {}
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        match self {
            Self::Http(agent) => &agent.url,
            Self::Program(_, name) => name,
        }
    }
}

/// A program takes a request as a whole.
async fn say(bridge: &Bridge, asked: Asked<'_>) -> Result<Response<bridge::stream::Body>, AttemptError> {
    let body = match asked.body {
        Some(body) => {
            let whole = body.begin().collect().await;
            whole.map_err(|fault| AttemptError::Body(body.fault().unwrap_or(fault)))?.to_bytes()
        }
        None => Bytes::new(),
    };
    Ok(bridge.answer(&asked.head, body).await)
}

// === impl HttpAgent ===

impl HttpAgent {
    /// The agent at `url`, which is reached over `network`.
    ///
    /// # Errors
    /// Why it cannot be called.
    pub fn new(url: &str, network: Arc<dyn Network>, config: &Config) -> Result<Self, String> {
        let dialer = Dialer::new(network, Destinations::trusted(), config.connect_timeout);
        // The admission has the say in how many there are.
        let pool = Pool::new(Address::parse(url)?, dialer, usize::MAX);
        Ok(Self { pool, url: url.to_owned(), alarms: Alarms::default() })
    }

    async fn answer(&self, asked: Asked<'_>) -> Result<Response<Content>, AttemptError> {
        let (body, deadline) = (asked.body, asked.deadline);
        let sending = pin!(self.pool.send(self.request(asked)));
        let outcome = self.alarms.limit(deadline, sending).await.unwrap_or(Err(AttemptError::TimedOut));
        let mut response = outcome.map_err(|fault| blame(body, fault))?;
        let status = response.status();
        // Nobody asked for another protocol.
        if status.is_informational() {
            return Err(AttemptError::Status { status, body: String::new() });
        }
        hop::strip(response.headers_mut());
        Ok(response)
    }

    fn request(&self, asked: Asked<'_>) -> Request {
        let Asked { head: given, body, deadline } = asked;
        let mut headers = given.headers;
        hop::strip_for_agent(&mut headers);
        let mut head = RequestHead::new(given.method, &given.uri);
        head.add(&HOST, &self.pool.address().authority);
        headers.iter().for_each(|(name, value)| head.add(name, value));
        passport::stamp_time(&mut head, deadline.saturating_duration_since(Instant::now()));
        let body = body.map_or(Payload::Whole(Bytes::new()), |body| Payload::Streamed(body.begin()));
        Request::new(head, body)
    }
}
