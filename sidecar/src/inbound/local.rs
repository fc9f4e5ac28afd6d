//! Our agent, as the port for peers sees it: one function from a request to an answer.
//!
//! An agent that does not speak HTTP is one more variant here: it takes what was asked, brings a head and a body that
//! streams, and everything before and behind that is the port's.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::HOST;
use mesh_daemon::alarm::Alarms;
use tokio::time::Instant;

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
    pub async fn answer(&self, asked: Asked<'_>) -> Result<Response<Content>, AttemptError> {
        match self {
            Self::Http(agent) => agent.answer(asked).await,
        }
    }

    /// Closes connections to it that were not used for a while.
    pub fn sweep(&self) {
        match self {
            Self::Http(agent) => agent.pool.sweep(),
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        match self {
            Self::Http(agent) => &agent.url,
        }
    }
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
