//! A host of the simulation: one process with its tasks, its connections and what it listens to. A crash takes all of it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_sidecar::dial;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::connection::Side;
use crate::network::Network;
use crate::wires::Number;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One run of a process on its host. Clones are the same.
#[derive(Clone)]
pub(crate) struct Host {
    network: Network,
    address: IpAddr,
    run: u32,
    life: CancellationToken,
}

/// One end of a connection.
pub(crate) struct Stream {
    network: Network,
    number: Number,
    side: Side,
    /// Sleeps until what is on its way arrives.
    arrival: Option<Pin<Box<Sleep>>>,
}

// === impl Host ===

impl Host {
    /// Starts a process at `address`.
    pub(crate) fn start(network: &Network, address: IpAddr) -> Self {
        let run = network.start(address);
        Self { network: network.clone(), address, run, life: CancellationToken::new() }
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.life.is_cancelled()
    }

    /// The process ends at once; whoever is connected is told.
    pub(crate) fn crash(&self) {
        self.network.crash(self.address);
        self.life.cancel();
    }

    /// The host loses its power; nobody is told.
    pub(crate) fn darken(&self) {
        self.network.darken(self.address);
        self.life.cancel();
    }

    /// Runs a task of the process.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.life.clone();
        tokio::spawn(async move {
            life.run_until_cancelled_owned(task).await;
        });
    }

    /// Opens a connection.
    pub(crate) async fn open(&self, to: SocketAddr) -> io::Result<Stream> {
        let number = self.network.connect(self.address, self.run, to).await?;
        Ok(self.stream(number, Side::Client))
    }

    /// Serves HTTP at `port`.
    pub(crate) fn serve<S, B>(&self, port: u16, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let mut accepted = self.network.listen(SocketAddr::new(self.address, port));
        let host = self.clone();
        self.spawn(async move {
            while let Some(number) = accepted.recv().await {
                let stream = TokioIo::new(host.stream(number, Side::Server));
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).half_close(false);
                let connection = server.serve_connection(stream, service.clone());
                // How a connection ended is seen at its other end.
                host.spawn(async move { drop(connection.await) });
            }
        });
    }

    fn stream(&self, number: Number, side: Side) -> Stream {
        Stream { network: self.network.clone(), number, side, arrival: None }
    }
}

impl dial::Network for Host {
    fn resolve(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let address = host.parse::<IpAddr>().map_err(io::Error::other);
        Box::pin(async move { Ok(vec![SocketAddr::new(address?, port)]) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn dial::Stream>>> {
        let host = self.clone();
        Box::pin(async move { Ok(Box::new(host.open(address).await?) as Box<dyn dial::Stream>) })
    }
}

// === impl Stream ===

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(arrival) = &mut self.arrival {
                ready!(arrival.as_mut().poll(context));
                self.arrival = None;
            }
            let (number, side) = (self.number, self.side);
            match ready!(self.network.poll_read(number, side, buffer.remaining(), context))? {
                Ok(bytes) => {
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(at) => self.arrival = Some(Box::pin(sleep_until(at))),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.network.write(self.number, self.side, bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.end(self.number, self.side);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.network.forget(self.number, self.side);
    }
}

/// For those whose handlers always answer.
pub(crate) type Answered<B> = Result<Response<B>, Infallible>;
