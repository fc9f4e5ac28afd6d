//! Discovery answers: whole, in pieces when they are large, or not at all when the client has them already.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use futures_util::stream;
use jiff::Timestamp;

use super::state::Api;
use crate::catalog::listing::Listing;
use crate::moment::Moment;

/// The media type of every answer but streams.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a discovery query: 304 without a body when the client says that it has the same rows.
pub(super) fn answer(api: &Api, headers: &HeaderMap, listing: Listing) -> Response<Body> {
    let etag = listing.etag();
    let is_known = knows(headers, &etag);
    let body = if is_known { Body::empty() } else { body(listing, Moment::now().wall) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, api.cache_control.clone());
    // Tags are visible ASCII, which a header value always takes.
    headers.extend(HeaderValue::try_from(etag).ok().map(|etag| (ETAG, etag)));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, JSON);
    }
    response
}

fn body(listing: Listing, now: Timestamp) -> Body {
    let mut pieces = listing.pieces(now);
    match pieces.single() {
        Some(whole) => Body::from(whole),
        None => Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>))),
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
