//! How connections are opened: resolve the name, check every address, connect to one that passed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::destination::Destinations;
use crate::error::AttemptError;

/// A connection of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What carries connections: the host's network, or a simulated one.
pub trait Network: Send + Sync + 'static {
    /// The addresses of `host`.
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

    /// A connection to `address`.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Stream>>>;
}

/// The network of this host.
#[derive(Debug, Clone, Copy)]
pub struct HostNetwork;

/// Opens connections; the same for all endpoints of a sidecar.
#[derive(Clone)]
pub struct Dialer {
    network: Arc<dyn Network>,
    destinations: Arc<Destinations>,
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
    pub authority: HeaderValue,
    /// Path and query of its MCP endpoint.
    pub path: Uri,
}

// === impl HostNetwork ===

impl Network for HostNetwork {
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

// === impl Dialer ===

impl Dialer {
    /// Opens connections over `network` to where `destinations` allows; each has `timeout`, and each TLS handshake.
    pub fn new(network: Arc<dyn Network>, destinations: Destinations, timeout: Duration) -> Self {
        Self { network, destinations: Arc::new(destinations), timeout, tls: Arc::default() }
    }

    /// Why `address` will never be connected to, as far as that can be told without resolving a name.
    pub fn refusal(&self, address: &Address) -> Option<AttemptError> {
        let ip = address.host.parse::<IpAddr>().ok()?;
        self.destinations.check(SocketAddr::new(ip, address.port)).err().map(AttemptError::Forbidden)
    }

    /// Opens a TCP connection, which shows that somebody listens.
    ///
    /// # Errors
    /// When nobody does, not in time, or where calls must not go.
    pub async fn reach(&self, address: &Address) -> Result<Box<dyn Stream>, AttemptError> {
        let reaching = async {
            let mut last = AttemptError::Connect(io::Error::other("the name has no address"));
            for candidate in self.resolve(address).await? {
                match self.destinations.check(candidate) {
                    Err(refusal) => last = AttemptError::Forbidden(refusal),
                    Ok(()) => match self.network.connect(candidate).await {
                        Ok(stream) => return Ok(stream),
                        Err(fault) => last = AttemptError::Connect(fault),
                    },
                }
            }
            Err(last)
        };
        timeout(self.timeout, reaching).await.unwrap_or(Err(AttemptError::ConnectTimeout(self.timeout)))
    }

    /// Opens a connection that is ready for HTTP.
    ///
    /// # Errors
    /// As [`Self::reach`], and when the TLS handshake fails.
    pub async fn open(&self, address: &Address) -> Result<Box<dyn Stream>, AttemptError> {
        let stream = self.reach(address).await?;
        if !address.is_tls {
            return Ok(stream);
        }
        let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other);
        let securing = self.tls()?.connect(name.map_err(AttemptError::Connect)?, stream);
        let limit = self.timeout;
        let secured = timeout(limit, securing).await.map_err(|_| AttemptError::ConnectTimeout(limit))?;
        Ok(Box::new(secured.map_err(AttemptError::Connect)?))
    }

    async fn resolve(&self, address: &Address) -> Result<Vec<SocketAddr>, AttemptError> {
        if let Ok(ip) = address.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, address.port)]);
        }
        self.network.resolve(address.host.clone(), address.port).await.map_err(AttemptError::Connect)
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
            .map_err(|fault| AttemptError::Connect(io::Error::other(fault)))?;
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
            authority: HeaderValue::from_str(authority.as_str()).map_err(|fault| fault.to_string())?,
            path: uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network in which every name resolves to these addresses, and those that answer are even.
    struct Names(Vec<SocketAddr>);

    impl Network for Names {
        fn resolve(&self, _: String, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let addresses = self.0.clone();
            Box::pin(async move { Ok(addresses) })
        }

        fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
            Box::pin(async move {
                let answers = address.port().is_multiple_of(2);
                answers
                    .then(|| Box::new(tokio::io::empty()) as Box<dyn Stream>)
                    .ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
            })
        }
    }

    async fn reach(addresses: &[&str]) -> Result<Box<dyn Stream>, AttemptError> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let dialer = Dialer::new(Arc::new(Names(addresses)), Destinations::default(), Duration::from_secs(1));
        dialer.reach(&Address::parse("http://agent.example/mcp").unwrap()).await
    }

    #[test]
    fn endpoints_are_taken_apart() {
        let address = Address::parse("http://[::1]:8001/mcp?x=1").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.is_tls), ("::1", 8001, false));
        assert_eq!(
            (&address.authority, &address.path),
            (&"[::1]:8001".parse().unwrap(), &"/mcp?x=1".parse().unwrap())
        );
        assert_eq!(Address::parse("https://agents.example.org").unwrap().port, 443);
    }

    #[test]
    fn what_cannot_be_called_is_refused_in_words() {
        for endpoint in ["stdio://agent", "http://u:p@h/", "/mcp", "http://"] {
            assert!(Address::parse(endpoint).is_err(), "{endpoint}");
        }
    }

    #[tokio::test]
    async fn a_name_is_refused_for_what_it_resolves_to() {
        assert!(matches!(reach(&["169.254.169.254:80"]).await, Err(AttemptError::Forbidden(_))));
        assert!(matches!(reach(&[]).await, Err(AttemptError::Connect(_))));
    }

    #[tokio::test]
    async fn the_first_address_that_passes_and_answers_is_taken() {
        assert!(reach(&["169.254.169.254:80", "10.0.0.1:81", "10.0.0.2:82"]).await.is_ok());
        assert!(matches!(reach(&["10.0.0.1:81"]).await, Err(AttemptError::Connect(_))));
    }
}
