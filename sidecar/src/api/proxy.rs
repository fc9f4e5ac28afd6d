//! `ANY /proxy/{capability}/{path}`: plain HTTP to whoever offers the capability, streamed both ways.
//!
//! The path and the query belong to the provider; conditions on it stand in `X-Mesh-Query`, in the vocabulary of discovery.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use mesh_api::error::Fault;
use mesh_mcp::headers::SESSION_ID;
use tokio::time::Instant;

use super::body::{Occupied, ReplyBody};
use super::linger::{admit, linger};
use super::relay::{Relay, is_event_stream};
use super::reply;
use super::state::State;
use crate::course::{Call, Reply};
use crate::error::CallError;
use crate::passport::Passport;
use crate::patience::Pace;
use crate::plain::PlainRequest;
use crate::pool::Content;
use crate::replay::Replay;

/// Path below which requests are passed on.
pub const PATH: &str = "/proxy/";
/// Conditions on the provider, as the query string of `/call` has them.
const QUERY: HeaderName = HeaderName::from_static("x-mesh-query");

/// Passes one request on.
pub async fn serve(state: &Arc<State>, request: Request<Incoming>) -> Response<ReplyBody> {
    match read(state, request) {
        Ok((call, errand)) => {
            pass(state, &call, &errand, state.pace, |reply| remember_session(state, reply)).await
        }
        Err(error) => reply::refused(state, error),
    }
}

/// Carries out what was read of a request, and passes the answer on at this pace; `note` sees it before.
pub async fn pass(
    state: &State,
    call: &Call,
    errand: &PlainRequest,
    pace: Pace,
    note: impl FnOnce(&Reply<Response<Content>>),
) -> Response<ReplyBody> {
    match state.outbound.carry(call, errand).await {
        Ok(reply) => {
            note(&reply);
            let provenance = reply::Provenance::of(&reply);
            let (mut head, content) = reply.answer.into_parts();
            let relay = Relay::new(content, pace.limits);
            let (relay, occupied) = match is_event_stream(&head.headers) {
                true => {
                    (relay.kept_alive(pace.keep_alive, &head.headers), Occupied::Stream(reply.held.stream()))
                }
                false => (relay, Occupied::Call(reply.held)),
            };
            provenance.write(&mut head.headers);
            Response::from_parts(head, ReplyBody::Relayed(relay, occupied))
        }
        Err(failure) => {
            errand.take_rest().into_iter().for_each(linger);
            reply::failure(failure)
        }
    }
}

fn read(state: &State, request: Request<Incoming>) -> Result<(Call, PlainRequest), CallError> {
    let (head, body) = request.into_parts();
    if head.method == Method::CONNECT {
        return Err(fault("method", "CONNECT makes a tunnel, and there are none through a sidecar"));
    }
    let (capability, target) = read_target(&head.uri)?;
    let target_of = state.targets.get(capability, read_query(&head.headers)?)?;
    let passport = Passport::read(&head.headers, state.caller.as_ref())?;
    let pinned = read_session(state, &head.headers)?;
    let is_safe_to_repeat = passport.vouches() || PlainRequest::is_safe(&head.method, &head.headers);
    let body = read_body(state, body)?;
    let errand = PlainRequest::new(head.method, target, head.headers, body);
    Ok((Call { target: target_of, passport, pinned, is_safe_to_repeat }, errand))
}

/// The capability, and the path and query at the provider.
fn read_target(uri: &Uri) -> Result<(&str, Uri), CallError> {
    let rest = uri.path_and_query().and_then(|all| all.as_str().strip_prefix(PATH)).unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (capability, target) = rest.split_at(end);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let target = target.parse().map_err(|_| fault("path", "cannot be passed on"))?;
    Ok((capability, target))
}

fn read_query(headers: &HeaderMap) -> Result<&str, CallError> {
    let query = headers.get(QUERY).map(HeaderValue::to_str).transpose();
    query
        .map(Option::unwrap_or_default)
        .map_err(|_| fault(QUERY.as_str(), "must be visible ASCII characters"))
}

/// The provider of the caller's session, if it has one.
fn read_session(state: &State, headers: &HeaderMap) -> Result<Option<String>, CallError> {
    let Some(session) = headers.get(SESSION_ID) else { return Ok(None) };
    state.sessions.provider(session, Instant::now()).map(Some).ok_or(CallError::SessionGone)
}

fn remember_session(state: &State, reply: &Reply<Response<Content>>) {
    if let Some(session) = reply.answer.headers().get(SESSION_ID) {
        state.sessions.pin(session, &reply.endpoint.agent_id, Instant::now());
    }
}

/// A caller's body, kept for a second attempt as far as that goes; none when it has none.
///
/// # Errors
/// When it announces to be too large.
pub fn read_body(state: &State, body: Incoming) -> Result<Option<Replay>, CallError> {
    let body = admit(body, state.max_body)?;
    let has_body = !body.is_end_stream();
    Ok(has_body.then(|| Replay::new(body, state.max_body, state.keeping.clone())))
}

fn fault(path: &str, message: &str) -> CallError {
    CallError::Invalid(vec![Fault::new(path, message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_belong_to_the_provider() {
        let read = |uri: &str| {
            let uri = uri.parse().unwrap();
            let (capability, target) = read_target(&uri).unwrap();
            format!("{capability} {target}")
        };
        assert_eq!(read("/proxy/summarize/v1/a%2Fb?x=1&y=%20"), "summarize /v1/a%2Fb?x=1&y=%20");
        assert_eq!(read("/proxy/summarize"), "summarize /");
        assert_eq!(read("/proxy/summarize?x=1"), "summarize /?x=1");
        assert_eq!(read("/proxy/summarize//a/../b"), "summarize //a/../b");
    }
}
