//! Whether our own agent is up: a probe now and then, and a few agreeing outcomes in a row to change the verdict.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::dial::{Network, Stream};

/// Good probes in a row that make an agent up.
const UP_AFTER: u32 = 2;
/// Bad probes in a row that make an agent down.
const DOWN_AFTER: u32 = 3;
/// Time between probes while the agent is not up, so that a start does not wait for a whole interval.
const IMPATIENT: Duration = Duration::from_millis(100);

/// How our agent is probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Host and port of the agent.
    pub authority: String,
    /// Path that must answer 2xx; without one, accepting a connection is enough.
    pub path: Option<String>,
    /// Time between probes while the agent is up.
    pub interval: Duration,
    /// Time for one probe.
    pub timeout: Duration,
}

/// Counts agreeing outcomes.
#[derive(Debug, Default)]
struct Streak {
    is_up: bool,
    against: u32,
}

/// Probes over `network` until `stop` and publishes whether the agent is up.
pub async fn run(
    probe: Probe,
    network: Arc<dyn Network>,
    verdict: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut streak = Streak::default();
    loop {
        let outcome = probe.send(network.as_ref()).await;
        if streak.take(outcome.is_ok()) {
            match outcome {
                Ok(()) => tracing::info!(agent = probe.authority, "our agent is up"),
                Err(reason) => tracing::warn!(agent = probe.authority, reason, "our agent is down"),
            }
        }
        verdict.send_if_modified(|is_up| std::mem::replace(is_up, streak.is_up) != streak.is_up);
        let pause = if streak.is_up { probe.interval } else { probe.interval.min(IMPATIENT) };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

// === impl Probe ===

impl Probe {
    /// The authority with a port, from an `http:` or `https:` URL.
    pub fn authority_of(endpoint: &str) -> Option<String> {
        let uri: Uri = endpoint.parse().ok()?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        Some(format!("{}:{port}", uri.host()?))
    }

    async fn send(&self, network: &dyn Network) -> Result<(), String> {
        let probing = async {
            let stream = self.connect(network).await.map_err(|fault| fault.to_string())?;
            match &self.path {
                Some(path) => self.get(stream, path).await,
                None => Ok(()),
            }
        };
        let limit = self.timeout;
        timeout(limit, probing)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} ms", limit.as_millis())))
    }

    /// A connection to the first address of the agent that accepts one.
    async fn connect(&self, network: &dyn Network) -> io::Result<Box<dyn Stream>> {
        let (host, port) = self.authority.rsplit_once(':').unwrap_or((&self.authority, ""));
        let port = port.parse().map_err(io::Error::other)?;
        let mut last = io::Error::other("the name has no address");
        for address in network.resolve(host.trim_matches(['[', ']']).to_owned(), port).await? {
            match network.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// A GET of which only the status matters.
    async fn get(&self, mut stream: Box<dyn Stream>, path: &str) -> Result<(), String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.authority);
        stream.write_all(request.as_bytes()).await.map_err(|fault| fault.to_string())?;
        let mut head = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut head).await.map_err(|fault| fault.to_string())?;
        match &head[9..] {
            [b'2', ..] => Ok(()),
            status => Err(format!("GET {path} answered {}", String::from_utf8_lossy(status))),
        }
    }
}

// === impl Streak ===

impl Streak {
    /// Takes an outcome; returns whether the verdict changed.
    fn take(&mut self, good: bool) -> bool {
        self.against = if good == self.is_up { 0 } else { self.against + 1 };
        let needed = if self.is_up { DOWN_AFTER } else { UP_AFTER };
        let changes = self.against >= needed;
        if changes {
            (self.is_up, self.against) = (!self.is_up, 0);
        }
        changes
    }
}

/// Whether an address is one that only this host can reach.
pub fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || authority.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial::HostNetwork;

    fn verdicts(outcomes: &str) -> String {
        let mut streak = Streak::default();
        outcomes
            .chars()
            .map(|outcome| {
                streak.take(outcome == '+');
                if streak.is_up { 'u' } else { 'd' }
            })
            .collect()
    }

    #[test]
    fn only_agreeing_outcomes_in_a_row_change_the_verdict() {
        assert_eq!(verdicts("+-++"), "dddu");
        assert_eq!(verdicts("++--+--+---"), "duuuuuuuuud");
    }

    #[test]
    fn loopback_addresses_are_recognised() {
        assert!(is_loopback("localhost:80") && is_loopback("127.0.0.1:1") && is_loopback("[::1]:9"));
        assert!(!is_loopback("10.0.0.7:80") && !is_loopback("agents.example.org:80"));
    }

    #[tokio::test]
    async fn a_path_must_answer_well_and_a_port_must_accept() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let probe = |path: Option<&str>| Probe {
            authority: authority.clone(),
            path: path.map(str::to_owned),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let n = stream.read(&mut request).await.unwrap_or(0);
                let well = request[..n].starts_with(b"GET /well ");
                let answer = if well { "HTTP/1.1 204 No Content\r\n\r\n" } else { "HTTP/1.1 503 No\r\n\r\n" };
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        assert_eq!(probe(None).send(&HostNetwork).await, Ok(()));
        assert_eq!(probe(Some("/well")).send(&HostNetwork).await, Ok(()));
        assert_eq!(probe(Some("/ill")).send(&HostNetwork).await, Err("GET /ill answered 503".to_owned()));
    }
}
