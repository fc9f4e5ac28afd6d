//! Messages that are made here, as answers of HTTP: one as it is, or a stream of events that lasts as long as there is
//! something to tell.

use std::error::Error;
use std::future::Future;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use mesh_mcp::front::relay::ask::Told;
use mesh_mcp::front::reply::Reply;
use mesh_mcp::headers::{EVENT_STREAM, JSON};

/// The body of an answer. Dropping it cancels what it waits for; an error breaks it off.
pub type Body = UnsyncBoxBody<Bytes, Fault>;
/// Why an answer breaks off.
pub type Fault = Box<dyn Error + Send + Sync>;

/// Asks proxies not to hold events back.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Whether a client takes an answer that is a stream of events: the media types that it accepts, in its order.
pub fn takes_streams(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types =
        accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one));
    types.any(|one| one.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// An answer that is known as a whole.
pub fn replied(reply: Reply) -> Response<Body> {
    let mut response = Response::new(all(reply.body));
    (*response.status_mut(), *response.headers_mut()) = (reply.status, reply.headers);
    response
}

/// A body that is known as a whole.
pub fn all(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A whole message.
pub fn whole(told: Told) -> Response<Body> {
    let mut response = Response::new(all(told.message));
    *response.status_mut() = told.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// A stream of events that begins with `first`, and goes on with what `next` makes of what is left to tell. A fault breaks it
/// off.
pub fn streamed<T, N>(first: Bytes, rest: T, next: fn(T) -> N) -> Response<Body>
where
    T: Send + 'static,
    N: Future<Output = Option<(Result<Bytes, Fault>, Option<T>)>> + Send + 'static,
{
    let pieces = unfold((Some(first), Some(rest)), move |(first, rest)| async move {
        match (first, rest) {
            (Some(first), rest) => Some((Ok(first), (None, rest))),
            (None, Some(rest)) => next(rest).await.map(|(piece, rest)| (piece, (None, rest))),
            (None, None) => None,
        }
    });
    let body = StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync();
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_for_those_who_name_them() {
        let accepts = |value: &'static str| {
            takes_streams(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]))
        };
        assert!(accepts("text/event-stream") && accepts("application/json, Text/Event-Stream;q=0.5"));
        assert!(!accepts("*/*") && !accepts("application/json") && !takes_streams(&HeaderMap::new()));
    }
}
