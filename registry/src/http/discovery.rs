//! Discovery answers: whole, in pieces when they are large, or not at all when the client has them already.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use futures_util::stream;
use http_body::{Frame, SizeHint};
use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::state::Api;
use crate::catalog::listing::{Listing, Pieces};
use crate::moment::Moment;

/// The media type of every answer but streams.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a discovery query.
pub(super) fn answer(api: &Api, headers: &HeaderMap, listing: Listing) -> Response<Body> {
    let etag = listing.etag();
    tagged(api, headers, etag, || body(listing, Moment::now().wall))
}

/// A document of others about one agent.
pub(super) fn document(api: &Api, headers: &HeaderMap, json: Bytes) -> Response<Body> {
    let etag = format!("\"{:016x}\"", xxh3_64(&json));
    tagged(api, headers, etag, || Body::from(json))
}

/// An answer with its tag: 304 without a body when the client says that it has the same.
fn tagged(api: &Api, headers: &HeaderMap, etag: String, body: impl FnOnce() -> Body) -> Response<Body> {
    let is_known = knows(headers, &etag);
    let body = if is_known { Body::empty() } else { body() };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, api.cache_control.clone());
    headers.extend(age(api));
    // Tags are visible ASCII, which a header value always takes.
    headers.extend(HeaderValue::try_from(etag).ok().map(|etag| (ETAG, etag)));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, JSON);
    }
    response
}

/// How old an answer is, in seconds, when it may lack what other registries wrote.
pub(super) fn age(api: &Api) -> Option<(HeaderName, HeaderValue)> {
    api.registry.age().map(|age| (AGE, age.as_secs().into()))
}

fn body(listing: Listing, now: Timestamp) -> Body {
    match listing.pieces(now) {
        Pieces::Two(rows, end) => Body::new(Two { pieces: [rows, end], sent: 0 }),
        Pieces::Many(rendering) => Body::from_stream(stream::iter(rendering.map(Ok::<_, Infallible>))),
    }
}

/// A body in two pieces, neither of which is copied to be sent with the other.
struct Two {
    pieces: [Bytes; 2],
    sent: usize,
}

impl HttpBody for Two {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.get(self.sent).cloned();
        self.sent += 1;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent >= self.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().skip(self.sent).map(|piece| piece.len() as u64).sum())
    }
}

/// Whether `If-None-Match` names the tag. The comparison is the weak one (RFC 9110, 13.1.2).
fn knows(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_alone_in_a_list_weak_or_strong() {
        for (value, is_known) in [
            ("W/\"a\"", true),
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
            assert_eq!(knows(&headers, "W/\"a\""), is_known, "{value}");
        }
        assert!(!knows(&HeaderMap::new(), "W/\"a\""));
    }
}
