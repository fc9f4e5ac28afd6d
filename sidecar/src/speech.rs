//! How an endpoint is spoken to: which era of MCP it is of, found out once, and one HTTP exchange with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use mesh_mcp::answer::AnswerReader;
use mesh_mcp::call::{self, ClientInfo, Form, Post};
use mesh_mcp::error::{AnswerError, RpcError};
use mesh_mcp::headers::METHOD;
use mesh_mcp::message::ServerMessage;
use mesh_mcp::peer::{self, Peer};
use mesh_mcp::raw::RawJson;
use tokio::time::timeout;

use crate::endpoint::{Endpoint, Manner};
use crate::error::AttemptError;
use crate::passport;
use crate::pool::Content;
use crate::request::{Payload, Request};
use crate::wire::RequestHead;

/// Largest answer, in bytes.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How much of an error page is shown.
const EXCERPT: usize = 200;
/// Time given to a stream to end after its answer came, so that the connection can be used again.
const STREAM_END: Duration = Duration::from_secs(1);
/// Time for telling a peer something.
const TELLING_TIME: Duration = Duration::from_secs(5);
/// Longest pause that a peer can ask for, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Who we are, for the peer's logs.
pub const US: ClientInfo = ClientInfo { name: "mesh-sidecar", version: env!("CARGO_PKG_VERSION") };
/// The same as a header.
const USER: HeaderValue = HeaderValue::from_static(concat!("mesh-sidecar/", env!("CARGO_PKG_VERSION")));

/// A read answer with what surrounds it.
pub struct Heard {
    /// Status and headers.
    pub head: http::response::Parts,
    /// The message in it.
    pub message: Option<ServerMessage>,
}

/// Finds out how the endpoint wants to be spoken to, once for all calls.
///
/// # Errors
/// When the handshake fails.
pub async fn speak(endpoint: &Endpoint) -> Result<Arc<Manner>, AttemptError> {
    let _once = endpoint.handshake.lock().await;
    if let Some(manner) = endpoint.manner.load_full() {
        return Ok(manner);
    }
    let (peer, told) = shake_hands(endpoint).await?;
    let announces_tools = told.is_some_and(|told| peer::announces_tools(&told));
    tracing::debug!(agent.id = endpoint.agent_id, ?peer, "found out how an agent speaks MCP");
    let form = Form::of(peer, US);
    let manner = Arc::new(Manner { head: head(endpoint, &form.headers), form, announces_tools });
    endpoint.manner.store(Some(Arc::clone(&manner)));
    Ok(manner)
}

/// How an endpoint wants to be spoken to, and what it says of itself.
///
/// # Errors
/// When the handshake fails.
pub async fn shake_hands(endpoint: &Endpoint) -> Result<(Peer, Option<RawJson>), AttemptError> {
    match greet(endpoint, call::discover(US)).await {
        Ok(heard) if peer::is_current(heard.head.status, heard.message.as_ref()) => {
            return Ok((Peer::Current, heard.result()));
        }
        // Some older servers answer a method that they do not know with 5xx.
        Ok(_) | Err(AttemptError::Status { .. }) => {}
        Err(fault) => return Err(fault),
    }
    let heard = greet(endpoint, call::initialize(US)).await?;
    let Some(peer) = peer::handshaken(&heard.head.headers, heard.message.as_ref()) else {
        return Ok((Peer::Bare, None));
    };
    greet(endpoint, call::initialized(&peer)).await?;
    Ok((peer, heard.result()))
}

/// A request of the handshake. An answer that is no MCP at all is an answer too: an older server's refusal.
async fn greet(endpoint: &Endpoint, request: Post) -> Result<Heard, AttemptError> {
    let (head, message) = post(endpoint, request).await?;
    let message = match message {
        Err(AttemptError::Protocol(AnswerError::ContentType(_) | AnswerError::NotJsonRpc(_))) => None,
        outcome => outcome?,
    };
    Ok(Heard { head, message })
}

/// Asks something and waits for the answer, without a time limit.
///
/// # Errors
/// When there is none.
pub async fn ask(endpoint: &Endpoint, request: Post) -> Result<Heard, AttemptError> {
    let (head, message) = post(endpoint, request).await?;
    let message = match message {
        // A refusal of HTTP without a JSON-RPC message in it.
        Err(AttemptError::Protocol(_)) if head.status.is_client_error() => None,
        outcome => outcome?,
    };
    Ok(Heard { head, message })
}

async fn post(
    endpoint: &Endpoint,
    request: Post,
) -> Result<(http::response::Parts, Result<Option<ServerMessage>, AttemptError>), AttemptError> {
    let (head, mut body) = exchange(endpoint, addressed(endpoint, request)).await?.into_parts();
    let message = read_whole(&head, &mut body).await;
    end_of_stream(body);
    Ok((head, message))
}

async fn read_whole(
    head: &http::response::Parts,
    body: &mut Content,
) -> Result<Option<ServerMessage>, AttemptError> {
    let mut reader = AnswerReader::begin(&head.headers).map_err(AttemptError::Protocol)?;
    let mut size = 0;
    while let Some(piece) = next_piece(body).await? {
        size += piece.len();
        if size > MAX_ANSWER {
            return Err(AttemptError::TooLarge(MAX_ANSWER));
        }
        if let Some(message) = reader.take(piece, drop).map_err(AttemptError::Protocol)? {
            return Ok(Some(message));
        }
    }
    reader.finish().map_err(AttemptError::Protocol)
}

/// A request of MCP to `endpoint`.
pub fn addressed(endpoint: &Endpoint, post: Post) -> Request {
    Request::new(head(endpoint, &post.headers), Payload::Whole(post.body))
}

/// The request with which an older server is listened to: a GET of its endpoint.
pub fn listening(endpoint: &Endpoint, peer: &Peer) -> Request {
    Request::new(head_of(Method::GET, endpoint, &peer.listening()), Payload::Whole(Bytes::new()))
}

/// The head of a POST to `endpoint` with these headers.
pub fn head(endpoint: &Endpoint, headers: &HeaderMap) -> RequestHead {
    head_of(Method::POST, endpoint, headers)
}

fn head_of(method: Method, endpoint: &Endpoint, headers: &HeaderMap) -> RequestHead {
    let address = endpoint.pool.address();
    let mut head = RequestHead::new(method, &address.path);
    head.add(&HOST, &address.authority);
    head.add(&USER_AGENT, &USER);
    if headers.contains_key(METHOD) {
        passport::ask_for_translation(&mut head);
    }
    headers.iter().for_each(|(name, value)| head.add(name, value));
    head
}

/// One HTTP exchange; what is no answer to the request but a refusal of HTTP is an error.
///
/// # Errors
/// [`AttemptError`].
pub async fn exchange(endpoint: &Endpoint, request: Request) -> Result<Response<Content>, AttemptError> {
    let response = endpoint.pool.send(request).await?;
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS => Err(busy(response.headers())),
        status if status.is_redirection() => Err(redirected(response.headers())),
        status if status.is_server_error() => Err(Box::pin(refusal(response)).await),
        _ => Ok(response),
    }
}

/// Tells `endpoint` something that has no answer, beside whatever else happens, and holds `place` meanwhile.
pub fn tell(endpoint: &Arc<Endpoint>, post: Post, place: impl Send + 'static) {
    let (endpoint, request) = (Arc::clone(endpoint), addressed(endpoint, post));
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let _place = place;
            timeout(TELLING_TIME, exchange(&endpoint, request)).await.map(drop)
        });
    }
}

/// What happens before the request itself is sent leaves it unsent.
pub fn unsent(fault: AttemptError) -> AttemptError {
    match fault {
        handshake @ AttemptError::Handshake(_) => handshake,
        other => AttemptError::Handshake(Box::new(other)),
    }
}

/// The next piece of an answer.
///
/// # Errors
/// When the connection broke.
pub async fn next_piece(body: &mut Content) -> Result<Option<Bytes>, AttemptError> {
    match body.frame().await {
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(fault)) => Err(AttemptError::Broken(fault)),
        None => Ok(None),
    }
}

/// Lets a stream end after its answer, so that the connection can be used again; closes it if it does not.
pub fn end_of_stream(mut body: Content) {
    if !http_body::Body::is_end_stream(&body) {
        let ended = async move { while let Ok(Some(_)) = next_piece(&mut body).await {} };
        tokio::spawn(timeout(STREAM_END, ended));
    }
}

/// A refusal because the peer has too much to do.
pub fn busy(headers: &HeaderMap) -> AttemptError {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    AttemptError::Busy { retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE)) }
}

/// The peer is somewhere else.
pub fn redirected(headers: &HeaderMap) -> AttemptError {
    let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    AttemptError::Redirected(location.unwrap_or_else(|| "an address that it does not name".to_owned()))
}

/// A refusal of the sidecar beside the peer: nothing reached the peer itself.
pub fn away(reason: &HeaderValue) -> AttemptError {
    AttemptError::Away(String::from_utf8_lossy(reason.as_bytes()).chars().take(EXCERPT).collect())
}

/// An HTTP error with the beginning of what it said.
async fn refusal(response: Response<Content>) -> AttemptError {
    let (head, mut body) = response.into_parts();
    if let Some(reason) = head.headers.get(&passport::REFUSED) {
        end_of_stream(body);
        return away(reason);
    }
    let piece = next_piece(&mut body).await.ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&piece[..piece.len().min(EXCERPT)]).trim().to_owned();
    end_of_stream(body);
    AttemptError::Status { status: head.status, body: text }
}

// === impl Heard ===

impl Heard {
    /// Whether it says that `peer` restarted, perhaps as another release, and did not take what was sent.
    pub fn is_of_a_new_life(&self, peer: &Peer) -> bool {
        let (status, message) = (self.head.status, self.message.as_ref());
        peer.session_is_lost(status, message) || peer.era_has_changed(status, message)
    }

    fn result(self) -> Option<RawJson> {
        self.answer().ok()?.ok()
    }

    /// What was answered: a result, or a refusal.
    ///
    /// # Errors
    /// When it is neither.
    pub fn answer(self) -> Result<Result<RawJson, RpcError>, AttemptError> {
        match self.message {
            Some(ServerMessage::Result(result)) => Ok(Ok(result)),
            Some(ServerMessage::Error(error)) => Ok(Err(error)),
            _ if self.head.status.is_success() => Err(AttemptError::Protocol(AnswerError::Empty)),
            _ => Err(AttemptError::Status { status: self.head.status, body: String::new() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_ask_to_be_left_alone_for_ever() {
        let asked = |value: &'static str| {
            busy(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))])).asked_pause()
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("18446744073709551615"), Some(LONGEST_PAUSE));
        for none in ["", "-1", "soon", "99999999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(asked(none), None, "{none}");
        }
    }
}
