//! HTTP/1.1 connections to one endpoint: kept while they are fresh, opened when there is none.
//!
//! Built on hyper's connection API, because only that says for certain whether a request left: a request that comes
//! back unsent may be sent again, whatever it does. A connection is dropped after 3 s without use, before common
//! servers close it at 5 s; at their limit 5 % of calls failed. A connection whose answer was not read to its end is
//! closed, which is also how a peer learns that the caller went away.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::error::AttemptError;

/// Time without use after which a connection is not used again.
const IDLE_LIMIT: Duration = Duration::from_secs(3);
/// Idle connections kept for one endpoint.
const MAX_IDLE: usize = 32;

/// How connections are made; the same for all endpoints of a sidecar.
#[derive(Clone)]
pub struct Connector {
    timeout: Duration,
    /// Made at the first `https:` endpoint: reading the system's certificates takes time and memory.
    tls: Arc<OnceLock<TlsConnector>>,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    is_tls: bool,
    /// Value of the `Host` header.
    pub authority: String,
    /// Path and query of its MCP endpoint.
    pub path: String,
}

/// The connections to one endpoint.
pub struct Pool {
    address: Address,
    connector: Connector,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// An answer, and the connection it arrives on.
pub struct Exchange {
    /// The answer.
    pub response: Response<Incoming>,
    connection: Connection,
}

/// A connection that waits to be given back.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    pool: Arc<Pool>,
}

// === impl Connector ===

impl Connector {
    /// Gives each TCP and each TLS handshake `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, tls: Arc::default() }
    }

    /// The TLS side, which trusts what the system trusts.
    fn tls(&self) -> Result<&TlsConnector, AttemptError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|fault| AttemptError::Connect(std::io::Error::other(fault)))?;
        Ok(self.tls.get_or_init(|| TlsConnector::from(Arc::new(config.with_no_client_auth()))))
    }
}

// === impl Address ===

impl Address {
    /// Takes an `http:` or `https:` URL apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(endpoint: &str) -> Result<Self, String> {
        let uri: Uri = endpoint.parse().map_err(|fault| format!("{endpoint:?} is not a URL: {fault}"))?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            other => {
                return Err(format!(
                    "{} cannot be called over HTTP",
                    other.unwrap_or("a URL without a scheme")
                ));
            }
        };
        let authority = uri.authority().ok_or_else(|| format!("{endpoint:?} names no host"))?;
        if authority.as_str().contains('@') {
            return Err("an endpoint must not carry user info".to_owned());
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            is_tls,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    /// Opens a TCP connection, which shows that somebody listens.
    ///
    /// # Errors
    /// When nobody does, or not within `limit`.
    pub async fn connect(&self, limit: Duration) -> Result<TcpStream, AttemptError> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = timeout(limit, connecting).await.map_err(|_| AttemptError::ConnectTimeout(limit))?;
        let stream = stream.map_err(AttemptError::Connect)?;
        stream.set_nodelay(true).map_err(AttemptError::Connect)?;
        Ok(stream)
    }
}

// === impl Pool ===

impl Pool {
    /// The pool of the endpoint at `address`.
    pub fn new(address: Address, connector: Connector) -> Arc<Self> {
        Arc::new(Self { address, connector, idle: Mutex::default() })
    }

    /// The endpoint's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// [`AttemptError`], which says whether the request left.
    pub async fn send(self: &Arc<Self>, mut request: Request<Full<Bytes>>) -> Result<Exchange, AttemptError> {
        // A kept connection may have been closed by the peer in the meantime. A request that did not leave on it is
        // sent on the next one; the last is a new connection.
        while let Some(sender) = self.take_idle() {
            match self.exchange(sender, request).await {
                Ok(exchange) => return Ok(exchange),
                Err((fault, None)) => return Err(AttemptError::Broken(fault)),
                Err((_, Some(unsent))) => request = unsent,
            }
        }
        let sender = self.connect().await?;
        self.exchange(sender, request).await.map_err(|(fault, unsent)| match unsent {
            Some(_) => AttemptError::Unsent(fault),
            None => AttemptError::Broken(fault),
        })
    }

    /// The request comes back when it did not leave.
    async fn exchange(
        self: &Arc<Self>,
        mut sender: SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Exchange, (hyper::Error, Option<Request<Full<Bytes>>>)> {
        if let Err(fault) = sender.ready().await {
            return Err((fault, Some(request)));
        }
        match sender.try_send_request(request).await {
            Ok(response) => {
                Ok(Exchange { response, connection: Connection { sender, pool: Arc::clone(self) } })
            }
            Err(mut fault) => {
                let unsent = fault.take_message();
                Err((fault.into_error(), unsent))
            }
        }
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| one.since.elapsed() < IDLE_LIMIT && !one.sender.is_closed());
        idle.pop().map(|one| one.sender)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, AttemptError> {
        let limit = self.connector.timeout;
        let stream = self.address.connect(limit).await?;
        if !self.address.is_tls {
            return handshake(stream).await;
        }
        let name = ServerName::try_from(self.address.host.clone()).map_err(std::io::Error::other);
        let secured = self.connector.tls()?.connect(name.map_err(AttemptError::Connect)?, stream);
        let stream = timeout(limit, secured).await.map_err(|_| AttemptError::ConnectTimeout(limit))?;
        handshake(stream.map_err(AttemptError::Connect)?).await
    }
}

async fn handshake<Io>(io: Io) -> Result<SendRequest<Full<Bytes>>, AttemptError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(AttemptError::Unsent)?;
    // Ends when the sender and the answer's body are dropped; its errors reach them.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

// === impl Exchange ===

impl Exchange {
    /// The answer's parts and body, and the connection to give back once the body was read to its end.
    pub fn into_parts(self) -> (http::response::Parts, Incoming, Connection) {
        let (head, body) = self.response.into_parts();
        (head, body, self.connection)
    }
}

// === impl Connection ===

impl Connection {
    /// Keeps the connection for another request. Only for one whose answer was read to its end.
    pub fn give_back(self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

// === impl Debug ===

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_taken_apart() {
        let address = Address::parse("http://[::1]:8001/mcp?x=1").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.is_tls), ("::1", 8001, false));
        assert_eq!((address.authority.as_str(), address.path.as_str()), ("[::1]:8001", "/mcp?x=1"));
        assert_eq!(Address::parse("https://agents.example.org").unwrap().port, 443);
    }

    #[test]
    fn what_cannot_be_called_is_refused_in_words() {
        for endpoint in ["stdio://agent", "http://u:p@h/", "/mcp", "http://"] {
            assert!(Address::parse(endpoint).is_err(), "{endpoint}");
        }
    }
}
