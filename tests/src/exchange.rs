//! One HTTP/1.1 exchange, written byte for byte as the test wants it: nothing is corrected on the way.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// GET of `target`.
pub async fn get(address: SocketAddr, target: &str) -> io::Result<Answer> {
    send(address, "GET", target, &[], b"").await
}

/// POST of JSON to `target`.
pub async fn post(address: SocketAddr, target: &str, body: &Value) -> io::Result<Answer> {
    send(address, "POST", target, &[("Content-Type", "application/json")], body.to_string().as_bytes()).await
}

/// A request with these headers and this body.
pub async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    raw(address, &[request.as_bytes(), body].concat()).await
}

/// Bytes as they are.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> io::Result<Answer> {
    let exchanging = async {
        let mut stream = TcpStream::connect(address).await?;
        // A server may answer and close before it has read everything; its answer counts.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Err(fault) if answer.is_empty() => Err(fault),
            _ => parse(&answer),
        }
    };
    timeout(PATIENCE, exchanging).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let garbled = || io::Error::other(format!("no HTTP answer: {:?}", String::from_utf8_lossy(bytes)));
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(garbled)?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(garbled)?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: HashMap<_, _> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let body = bytes[end + 4..].to_vec();
    match headers.get("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if body.len() < length => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        _ => Ok(Answer { status, headers, body }),
    }
}
