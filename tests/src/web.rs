//! An agent that speaks plain HTTP, for `/proxy`: it echoes, streams, keeps silent and says what it was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use mesh_daemon::listen::Listener;
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What `/events` sends.
pub const EVENT: &str = "data: tick\n\n";

/// A running agent.
#[derive(Debug)]
pub struct WebAgent {
    /// Where it is.
    pub address: SocketAddr,
    counts: Arc<Counts>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicUsize,
    streaming: AtomicUsize,
}

/// Counts as a stream under way.
struct Streaming(Arc<Counts>);

type Body = BoxBody<Bytes, Infallible>;

// === impl WebAgent ===

impl WebAgent {
    /// Starts one that calls itself `name`.
    pub async fn start(name: &str) -> Self {
        let (name, counts) = (name.to_owned(), Arc::<Counts>::default());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let (address, stop) = (listener.local_addr(), CancellationToken::new());
        let serving = Arc::clone(&counts);
        let service = hyper::service::service_fn(move |request| {
            let (name, counts) = (name.clone(), Arc::clone(&serving));
            async move { Ok::<_, Infallible>(serve(&name, counts, request).await) }
        });
        tokio::spawn(listener.serve(service, stop.clone(), Duration::ZERO));
        Self { address, counts, _stop: stop.drop_guard() }
    }

    /// The URL that it registers with.
    pub fn endpoint(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Streams under way.
    pub fn streaming(&self) -> usize {
        self.counts.streaming.load(Ordering::SeqCst)
    }
}

async fn serve(name: &str, counts: Arc<Counts>, request: Request<Incoming>) -> Response<Body> {
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().path().to_owned();
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["echo"] => Response::new(BoxBody::new(echoed(request.into_body()))),
        ["size"] => {
            let body = request.into_body().collect().await.map(|body| body.to_bytes().len());
            whole(StatusCode::OK, &json!({"served_by": name, "bytes": body.unwrap_or_default()}).to_string())
        }
        ["events", count, pause] => events(counts, count.parse().unwrap_or(1), pause.parse().unwrap_or(1)),
        ["status", status] => whole(status.parse().unwrap_or(StatusCode::OK), name),
        ["busy", pause] => {
            let mut response = whole(StatusCode::TOO_MANY_REQUESTS, name);
            response.headers_mut().insert("retry-after", pause.parse().expect("a header value"));
            response
        }
        ["101"] => whole(StatusCode::SWITCHING_PROTOCOLS, ""),
        ["session"] => {
            let mut response = whole(StatusCode::OK, name);
            let session = format!("session-of-{name}").parse().expect("a header value");
            response.headers_mut().insert("mcp-session-id", session);
            response
        }
        ["early"] => whole(StatusCode::FORBIDDEN, "not read"),
        _ => whole(StatusCode::OK, &seen(name, &request)),
    }
}

/// Sends every piece back as it comes.
fn echoed(
    body: Incoming,
) -> impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static {
    let pieces = body.into_data_stream().take_while(|piece| std::future::ready(piece.is_ok()));
    StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece.unwrap_or_default()))))
}

fn events(counts: Arc<Counts>, count: usize, pause_ms: u64) -> Response<Body> {
    counts.streaming.fetch_add(1, Ordering::SeqCst);
    let streaming = Streaming(counts);
    let events = futures_util::stream::unfold((0, streaming), move |(sent, streaming)| async move {
        if sent == count {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Some((Ok(Frame::data(Bytes::from_static(EVENT.as_bytes()))), (sent + 1, streaming)))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BoxBody::new(StreamBody::new(events))).expect("a response of known parts")
}

/// What the request looked like, as JSON.
fn seen(name: &str, request: &Request<Incoming>) -> String {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    json!({"served_by": name, "method": request.method().as_str(), "target": target, "headers": headers})
        .to_string()
}

fn whole(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(BoxBody::new(Full::new(Bytes::from(body.to_owned()))));
    *response.status_mut() = status;
    response.headers_mut().insert("x-mesh-agent", http::HeaderValue::from_static("a forged name"));
    response
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.streaming.fetch_sub(1, Ordering::SeqCst);
    }
}
