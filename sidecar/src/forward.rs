//! One attempt: a tool call to one endpoint, in the way that endpoint wants to be spoken to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use mesh_mcp::answer::AnswerReader;
use mesh_mcp::call::{self, ClientInfo, Post};
use mesh_mcp::error::{AnswerError, RpcError};
use mesh_mcp::message::ServerMessage;
use mesh_mcp::peer::{self, Peer};
use serde_json::value::RawValue;

use crate::endpoint::Endpoint;
use crate::error::AttemptError;
use crate::pool::Connection;

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How much of an error page is shown.
const EXCERPT: usize = 200;
/// Time given to a stream to end after its answer came, so that the connection can be used again.
const STREAM_END: Duration = Duration::from_secs(1);
/// Who we are, for the peer's logs.
const US: ClientInfo = ClientInfo { name: "mesh-sidecar", version: env!("CARGO_PKG_VERSION") };

/// What the peer answered.
#[derive(Debug)]
pub enum Answer {
    /// The tool's result, byte for byte. It may report an error of the tool.
    Result(Box<RawValue>),
    /// The peer refused the call.
    Error(RpcError),
}

/// A read answer with what surrounds it.
struct Heard {
    head: http::response::Parts,
    message: Option<ServerMessage>,
}

/// Calls `tool` at `endpoint`.
///
/// # Errors
/// [`AttemptError`], which says whether the call may have been executed.
pub async fn call_tool(
    endpoint: &Endpoint,
    tool: &str,
    arguments: &RawValue,
) -> Result<Answer, AttemptError> {
    let peer = speak(endpoint).await?;
    let heard = post(endpoint, call::tool(&peer, US, tool, arguments)).await?;
    if !is_forgotten(&peer, &heard) {
        return answer(heard);
    }
    // The peer restarted, perhaps as another release: it did not take the call. Once more from the beginning.
    endpoint.peer.store(None);
    let peer = speak(endpoint).await?;
    answer(post(endpoint, call::tool(&peer, US, tool, arguments)).await?)
}

fn is_forgotten(peer: &Peer, heard: &Heard) -> bool {
    let (status, message) = (heard.head.status, heard.message.as_ref());
    peer.session_is_lost(status, message) || peer.era_has_changed(status, message)
}

/// Finds out how the endpoint wants to be spoken to, once for all calls.
async fn speak(endpoint: &Endpoint) -> Result<Arc<Peer>, AttemptError> {
    if let Some(peer) = endpoint.peer.load_full() {
        return Ok(peer);
    }
    let _once = endpoint.handshake.lock().await;
    if let Some(peer) = endpoint.peer.load_full() {
        return Ok(peer);
    }
    let peer = shake_hands(endpoint).await.map_err(|fault| AttemptError::Handshake(Box::new(fault)))?;
    tracing::debug!(agent.id = endpoint.agent_id, ?peer, "found out how an agent speaks MCP");
    let peer = Arc::new(peer);
    endpoint.peer.store(Some(Arc::clone(&peer)));
    Ok(peer)
}

async fn shake_hands(endpoint: &Endpoint) -> Result<Peer, AttemptError> {
    match ask(endpoint, call::discover(US)).await {
        Ok(heard) if peer::is_current(heard.head.status, heard.message.as_ref()) => return Ok(Peer::Current),
        // Some older servers answer a method that they do not know with 5xx.
        Ok(_) | Err(AttemptError::Status { .. }) => {}
        Err(fault) => return Err(fault),
    }
    let heard = ask(endpoint, call::initialize(US)).await?;
    let Some(peer) = peer::handshaken(&heard.head.headers, heard.message.as_ref()) else {
        return Ok(Peer::Bare);
    };
    ask(endpoint, call::initialized(&peer)).await?;
    Ok(peer)
}

/// A request of the handshake. An answer that is no MCP at all is an answer too: an older server's refusal.
async fn ask(endpoint: &Endpoint, request: Post) -> Result<Heard, AttemptError> {
    let (head, body, connection) = exchange(endpoint, request).await?;
    match read(&head, body, connection).await {
        Ok(message) => Ok(Heard { head, message }),
        Err(AttemptError::Protocol(AnswerError::ContentType(_) | AnswerError::NotJsonRpc(_))) => {
            Ok(Heard { head, message: None })
        }
        Err(fault) => Err(fault),
    }
}

/// The call itself. Refusals of HTTP without a JSON-RPC message in them are errors of the attempt.
async fn post(endpoint: &Endpoint, request: Post) -> Result<Heard, AttemptError> {
    let (head, body, connection) = exchange(endpoint, request).await?;
    match read(&head, body, connection).await {
        Ok(message) => Ok(Heard { head, message }),
        Err(AttemptError::Protocol(_)) if head.status.is_client_error() => Ok(Heard { head, message: None }),
        Err(fault) => Err(fault),
    }
}

fn answer(heard: Heard) -> Result<Answer, AttemptError> {
    match heard.message {
        Some(ServerMessage::Result(result)) => Ok(Answer::Result(result)),
        Some(ServerMessage::Error(error)) => Ok(Answer::Error(error)),
        _ if heard.head.status.is_success() => Err(AttemptError::Protocol(AnswerError::Empty)),
        _ => Err(AttemptError::Status { status: heard.head.status, body: String::new() }),
    }
}

/// One HTTP exchange; what is no answer to the request but a refusal of HTTP is an error.
async fn exchange(
    endpoint: &Endpoint,
    post: Post,
) -> Result<(http::response::Parts, Incoming, Connection), AttemptError> {
    let address = endpoint.pool.address();
    let mut request = Request::new(Full::new(post.body));
    *request.method_mut() = http::Method::POST;
    // The path was part of a URL that was parsed before.
    *request.uri_mut() = address.path.parse().unwrap_or_default();
    *request.headers_mut() = post.headers;
    let host = HeaderValue::from_str(&address.authority);
    request.headers_mut().extend(host.ok().map(|host| (HOST, host)));
    request
        .headers_mut()
        .insert(USER_AGENT, HeaderValue::from_static(concat!("mesh-sidecar/", env!("CARGO_PKG_VERSION"))));
    let (head, body, connection) = endpoint.pool.send(request).await?.into_parts();
    match head.status {
        StatusCode::TOO_MANY_REQUESTS => Err(busy(&head)),
        status if status.is_redirection() => Err(redirected(&head)),
        status if status.is_server_error() => Err(refusal(head, body).await),
        _ => Ok((head, body, connection)),
    }
}

/// Reads the answer; gives the connection back when its body has ended.
async fn read(
    head: &http::response::Parts,
    mut body: Incoming,
    connection: Connection,
) -> Result<Option<ServerMessage>, AttemptError> {
    let mut reader = AnswerReader::begin(&head.headers).map_err(AttemptError::Protocol)?;
    let mut size = 0;
    while let Some(piece) = next_piece(&mut body).await? {
        size += piece.len();
        if size > MAX_ANSWER {
            return Err(AttemptError::TooLarge(MAX_ANSWER));
        }
        if let Some(message) = reader.take(&piece).map_err(AttemptError::Protocol)? {
            tokio::spawn(end_of_stream(body, connection));
            return Ok(Some(message));
        }
    }
    connection.give_back();
    reader.finish().map_err(AttemptError::Protocol)
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, AttemptError> {
    match body.frame().await {
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(fault)) => Err(AttemptError::Broken(fault)),
        None => Ok(None),
    }
}

/// Lets a stream end after its answer, so that the connection can be used again; closes it if it does not.
async fn end_of_stream(mut body: Incoming, connection: Connection) {
    let ended = async { while let Ok(Some(_)) = next_piece(&mut body).await {} };
    if tokio::time::timeout(STREAM_END, ended).await.is_ok() {
        connection.give_back();
    }
}

fn busy(head: &http::response::Parts) -> AttemptError {
    let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    AttemptError::Busy { retry_after: seconds.map(Duration::from_secs) }
}

fn redirected(head: &http::response::Parts) -> AttemptError {
    let location =
        head.headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    AttemptError::Redirected(location.unwrap_or_else(|| "an address that it does not name".to_owned()))
}

/// An HTTP error with the beginning of what it said.
async fn refusal(head: http::response::Parts, mut body: Incoming) -> AttemptError {
    let piece = next_piece(&mut body).await.ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&piece[..piece.len().min(EXCERPT)]).trim().to_owned();
    AttemptError::Status { status: head.status, body: text }
}
