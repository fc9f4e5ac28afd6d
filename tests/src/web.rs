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
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What `/events` sends.
pub const EVENT: &str = "data: tick\n\n";

/// What `/ask` asks.
pub const QUESTION: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"elicitation/create\"}\n\n";
/// How an answer to [`QUESTION`] begins.
pub const ANSWER: &str = "{\"jsonrpc\":\"2.0\",\"id\":7,";

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
    /// What was answered to its own questions.
    answers: Answers,
}

/// Hands on what was answered to whoever asked.
#[derive(Debug)]
struct Answers(broadcast::Sender<Bytes>);

impl Default for Answers {
    fn default() -> Self {
        Self(broadcast::channel(4).0)
    }
}

/// Counts as a stream under way.
struct Streaming(Arc<Counts>);

type Body = BoxBody<Bytes, Infallible>;

// === impl WebAgent ===

impl WebAgent {
    /// Starts one that calls itself `name`.
    pub async fn start(name: &str) -> Self {
        let (name, counts) = (name.to_owned(), Arc::<Counts>::default());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
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
        ["unauthorized"] => {
            let mut response = whole(StatusCode::UNAUTHORIZED, name);
            let challenge = "Bearer resource_metadata=\"http://h/.well-known/oauth-protected-resource\"";
            response.headers_mut().insert("www-authenticate", challenge.parse().expect("a header value"));
            response
        }
        ["moved"] => {
            let mut response = whole(StatusCode::TEMPORARY_REDIRECT, "");
            response.headers_mut().insert("location", http::HeaderValue::from_static("/moved/"));
            response
        }
        ["ask"] => ask(&counts.answers, request.into_body()).await,
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

/// Answers with a stream that asks [`QUESTION`], and ends it with what is posted as the answer.
async fn ask(answers: &Answers, body: Incoming) -> Response<Body> {
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if body.starts_with(ANSWER.as_bytes()) {
        let _nobody_asks = answers.0.send(body);
        return whole(StatusCode::ACCEPTED, "");
    }
    let answered = futures_util::stream::unfold(answers.0.subscribe(), |mut answers| async move {
        let answer = answers.recv().await.ok()?;
        Some((Ok(Frame::data(Bytes::from([b"data: ", &answer[..], b"\n\n"].concat()))), answers))
    });
    let question = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(QUESTION.as_bytes())))]);
    let events = StreamBody::new(question.chain(answered.take(1)));
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BoxBody::new(events)).expect("a response of known parts")
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
