//! The bare HTTP/1.1 server of hyper, for what stands beside the sidecar: accepts, serves, and nothing else.

use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;

use http::Response;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use mesh_examples::loadgen::server::LISTENING;
use mesh_examples::loadgen::table::say;
use tokio::net::TcpListener;

/// What answers requests never fails: it has no other way to say so than an answer.
pub(crate) type Answered<B> = Result<Response<B>, Infallible>;

/// Serves for ever on a free port, and says on which.
pub(crate) async fn serve<S, B>(service: S) -> anyhow::Result<()>
where
    S: HttpService<Incoming, ResBody = B, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    say(&format!("{LISTENING}{}", listener.local_addr()?));
    loop {
        let (stream, _) = listener.accept().await?;
        // Or small answers would wait for the client's delayed acknowledgement.
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        // Whoever asked knows what became of its connection.
        tokio::spawn(async move { drop(connection.await) });
    }
}
