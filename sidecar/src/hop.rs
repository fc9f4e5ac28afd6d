//! Headers that belong to one connection and are not passed on (RFC 9110, section 7.6.1), and those that are ours.

use http::header::{
    CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName};

use crate::passport;

/// Headers of one connection. `Expect` is answered by whoever reads the body, and `Host` names whoever is asked.
const OF_ONE_HOP: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    HOST,
];

/// Takes out what is not passed on.
pub fn strip(headers: &mut HeaderMap) {
    strip_but(headers, |_| false);
}

/// Takes out what is not passed on from a peer's sidecar to our agent.
pub fn strip_for_agent(headers: &mut HeaderMap) {
    strip_but(headers, passport::is_for_agent);
}

fn strip_but(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        named.iter().for_each(|name| drop(headers.remove(name)));
    }
    let is_unwanted =
        |name: &&HeaderName| OF_ONE_HOP.contains(name) || (passport::is_ours(name) && !stays(name));
    let unwanted: Vec<_> = headers.keys().filter(is_unwanted).cloned().collect();
    unwanted.iter().for_each(|name| drop(headers.remove(name)));
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_belongs_to_a_connection_or_to_us_is_taken_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("host", "localhost"),
            ("x-mesh-caller", "somebody-else"),
            ("x-mesh-anything", "1"),
            ("authorization", "Bearer of the agent"),
            ("content-type", "text/plain"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-type"]);
    }

    #[test]
    fn our_agent_is_told_what_it_would_be_told_without_us() {
        let ours = ["x-mesh-caller", "x-mesh-attempt", "x-mesh-hops", "x-mesh-timeout-ms", "x-mesh-affinity"];
        let names = ours.iter().chain(&["traceparent", "mcp-name", "host", "te"]);
        let mut headers: HeaderMap =
            names.map(|name| (name.parse().unwrap(), HeaderValue::from_static("1"))).collect();
        strip_for_agent(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["mcp-name", "traceparent", "x-mesh-attempt", "x-mesh-caller", "x-mesh-hops"]);
    }

    proptest! {
        #[test]
        fn nothing_of_ours_survives(names in prop::collection::vec("(x-mesh-|x-mes|connection|a)[a-z]{0,3}", 0..10)) {
            let mut headers: HeaderMap =
                names.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("x"))).collect();
            strip(&mut headers);
            prop_assert!(headers.keys().all(|name| !passport::is_ours(name) && *name != CONNECTION));
        }
    }
}
