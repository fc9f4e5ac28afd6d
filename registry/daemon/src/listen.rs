//! The listening side of both binaries: accepts connections, serves HTTP/1.1 and h2c on the same port, drains.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::alarm::Alarms;
use crate::stall::Unstalled;
use crate::target::EscapedTargets;

/// Largest request head: request line and all headers.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Time a client has for sending a request head; ends connections that send slowly on purpose.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which an HTTP/2 connection is asked whether it lives, so that streams of clients that are gone end.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Connections that wait to be accepted, at most; the kernel may allow fewer (`net.core.somaxconn`, 4,096 as it ships). One
/// more is told nothing and tries again after a second, so a fleet that comes at once must fit: the usual 128 are too few.
const BACKLOG: u32 = 4_096;
/// Pause after a failed accept. The usual cause, too many open files, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    stall: Option<Duration>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A port whose last owner has just ended is free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let tcp = socket.listen(BACKLOG)?;
        let address = tcp.local_addr()?;
        Ok(Self { tcp, address, stall: None })
    }

    /// Cuts connections whose client takes nothing for `stall` of what is sent to it.
    #[must_use]
    pub fn cut_stalled(self, stall: Duration) -> Self {
        Self { stall: Some(stall), ..self }
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves connections until `stop` is cancelled, then lets open ones finish for at most `drain`.
    pub async fn serve<S, B>(self, service: S, stop: CancellationToken, drain: Duration)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        self.serve_until(service, stop, async { sleep(drain).await }).await;
    }

    /// Serves connections until `stop` is cancelled, then lets open ones finish until `cut` is done, which begins then.
    pub async fn serve_until<S, B>(self, service: S, stop: CancellationToken, cut: impl Future<Output = ()>)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let open = GracefulShutdown::new();
        loop {
            let stream = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match stream {
                Ok((stream, _)) => {
                    let service = Attentive { service: service.clone(), heard: Arc::default() };
                    let heard = Arc::clone(&service.heard);
                    let connection =
                        http_server().serve_connection(prepare(stream, self.stall), service).into_owned();
                    tokio::spawn(converse(open.watch(connection), heard));
                }
                Err(fault) => {
                    tracing::warn!(%fault, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.tcp);
        tokio::select! {
            biased;
            () = open.shutdown() => {}
            () = cut => tracing::warn!(address = %self.address, "open connections were cut after the drain time"),
        }
    }
}

/// Serves one connection to its end, unless no request comes in time: hyper's own limit begins with the first bytes of
/// an HTTP/1 head, so it does not end a connection that sends nothing, or only the opening of HTTP/2.
async fn converse(connection: impl Future<Output = Result<(), BoxError>>, heard: Arc<AtomicBool>) {
    let (mut connection, mut silence) = (pin!(connection), pin!(sleep(HEAD_TIMEOUT)));
    let ended = poll_fn(|context| match connection.as_mut().poll(context) {
        Poll::Pending if heard.load(Ordering::Relaxed) => Poll::Pending,
        Poll::Pending => silence.as_mut().poll(context).map(|()| None),
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
    });
    match ended.await {
        Some(Ok(())) => {}
        Some(Err(fault)) => tracing::debug!(%fault, "a connection ended early"),
        None => tracing::debug!("a connection that sent no request was closed"),
    }
}

/// For one connection: its time limits come one after the other, so they share one timer and that with nobody.
fn http_server() -> Builder<TokioExecutor> {
    let (mut server, alarms) = (Builder::new(TokioExecutor::new()), Alarms::default());
    server.http1().timer(alarms.clone()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    server
        .http2()
        .timer(alarms)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(HEAD_TIMEOUT);
    server
}

fn prepare(stream: TcpStream, stall: Option<Duration>) -> TokioIo<EscapedTargets<Unstalled<TcpStream>>> {
    // Without it small answers wait for the client's delayed acknowledgement: 45 ms instead of 0.2 ms.
    if let Err(fault) = stream.set_nodelay(true) {
        tracing::debug!(%fault, "a connection keeps Nagle's algorithm");
    }
    TokioIo::new(EscapedTargets::new(Unstalled::new(stream, stall)))
}

/// A service that notes whether it has been called.
#[derive(Debug, Clone)]
struct Attentive<S> {
    service: S,
    heard: Arc<AtomicBool>,
}

impl<R, S: Service<R>> Service<R> for Attentive<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: R) -> Self::Future {
        self.heard.store(true, Ordering::Relaxed);
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn serve_queries() -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (address, stop) = (listener.local_addr(), CancellationToken::new());
        let echo = service_fn(|request: Request<Incoming>| async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(query))))
        });
        (address, stop.clone(), tokio::spawn(listener.serve(echo, stop, Duration::from_secs(5))))
    }

    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn whoever_comes_while_nobody_accepts_waits_and_is_not_dropped() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        let crowd = allowed.trim().parse().unwrap_or(128).min(500);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let mut connections = Vec::new();
        for _ in 0..crowd {
            // Without a place to wait in, it would take a second, and then two, and so on.
            let connecting = TcpStream::connect(listener.local_addr());
            connections
                .push(tokio::time::timeout(Duration::from_secs(30), connecting).await.unwrap().unwrap());
        }
        assert_eq!(connections.len(), crowd);
    }

    #[tokio::test]
    async fn a_raw_version_constraint_reaches_the_service() {
        let (address, _stop, _server) = serve_queries().await;
        let request =
            "GET /agents?version_constraint=>1.0.0 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let answer = exchange(address, request).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("version_constraint=%3E1.0.0"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, _stop, _server) = serve_queries().await;
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nX-Large: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
        assert!(exchange(address, &request).await.starts_with("HTTP/1.1 431"));
    }

    #[tokio::test]
    async fn serving_ends_when_it_is_told_to_stop() {
        let (address, stop, server) = serve_queries().await;
        let idle = TcpStream::connect(address).await.unwrap();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap();
        drop(idle);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
