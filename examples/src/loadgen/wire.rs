//! HTTP/1.1 connections that are kept, straight on hyper: what asks must cost little beside what answers.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Where a registry is: `http://HOST:PORT`.
#[derive(Debug, Clone)]
pub struct Base {
    address: SocketAddr,
    host: HeaderValue,
}

/// A connection, opened when it is needed and again when it was closed.
#[derive(Debug)]
pub struct Connection {
    base: Base,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

// === impl Base ===

impl FromStr for Base {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri = text.parse::<Uri>().with_context(|| format!("{text:?} is no URL"))?;
        ensure!(uri.scheme_str() == Some("http"), "must be http://HOST:PORT, got {text:?}");
        let authority = uri.authority().with_context(|| format!("{text:?} names no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        let address = (authority.host().trim_matches(['[', ']']), port).to_socket_addrs()?.next();
        let address = address.with_context(|| format!("{} has no address", authority.host()))?;
        Ok(Self { address, host: HeaderValue::from_str(authority.as_str())? })
    }
}

impl From<SocketAddr> for Base {
    fn from(address: SocketAddr) -> Self {
        // INVARIANT: an address is digits, dots, colons and brackets, all of which a header may have.
        let host = HeaderValue::from_str(&address.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Self { address, host }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

// === impl Connection ===

impl Connection {
    /// A connection to `base` that is not open yet.
    pub fn to(base: &Base) -> Self {
        Self { base: base.clone(), sender: None }
    }

    /// Asks for `target`, unless it still is what `etag` names; the body is still to be read.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(
        &mut self,
        target: &Uri,
        etag: Option<&HeaderValue>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = self.request(Method::GET, target.clone(), Bytes::new());
        if let Some(etag) = etag {
            request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
        }
        self.send(request).await
    }

    /// Asks for `target` and reads the answer.
    ///
    /// # Errors
    /// When no answer comes, or another than 200.
    pub async fn fetch(&mut self, target: &Uri) -> anyhow::Result<Answer> {
        let answer = read(self.get(target, None).await?).await?;
        answer.good(target)
    }

    /// Posts JSON and reads the answer.
    ///
    /// # Errors
    /// When no answer comes, or another than 200.
    pub async fn post(&mut self, target: &Uri, json: Bytes) -> anyhow::Result<Answer> {
        let mut request = self.request(Method::POST, target.clone(), json);
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        let answer = read(self.send(request).await?).await?;
        answer.good(target)
    }

    fn request(&self, method: Method, target: Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target;
        request.headers_mut().insert(HOST, self.base.host.clone());
        request
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let sender = match &mut self.sender {
            Some(sender) if !sender.is_closed() => sender,
            closed => closed.insert(open(self.base.address).await?),
        };
        sender.ready().await?;
        Ok(sender.send_request(request).await?)
    }
}

/// Opens a connection, which is driven by a task of its own until it is closed.
async fn open(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("{address} cannot be reached"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What is wrong with it is said by the request that it fails.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

// === answers ===

impl Answer {
    /// Itself, if its status is 200.
    ///
    /// # Errors
    /// The status and the beginning of the body, if it is not.
    pub fn good(self, target: &Uri) -> anyhow::Result<Self> {
        if self.status == StatusCode::OK {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        bail!("{target} is answered with {}: {}", self.status, text.chars().take(300).collect::<String>())
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// When it is cut off.
pub async fn read(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let (head, body) = response.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
}

/// Reads an answer to its end and only counts its bytes.
///
/// # Errors
/// When it is cut off.
pub async fn drained(response: Response<Incoming>) -> anyhow::Result<usize> {
    let (mut body, mut bytes) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_http_url_with_a_host() {
        for good in ["http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://[::1]:9"] {
            assert!(good.parse::<Base>().is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:8000", "https://127.0.0.1:8000", "http://"] {
            assert!(bad.parse::<Base>().is_err(), "{bad}");
        }
    }
}
