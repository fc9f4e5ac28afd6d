//! Keeps web pages out: a browser on this host must not be led to call the mesh on behalf of a page.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use mesh_api::error::{Code, ErrorBody};

use crate::api::body::ReplyBody;
use crate::api::reply;
use crate::health::is_loopback;

/// The usual names of this host.
const USUAL: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// Refuses requests of web pages: those with an `Origin` that is not this host, or a `Host` that is a name somebody
/// else may have pointed here (DNS rebinding).
///
/// Without either header a request comes from a program, not from a browser.
#[expect(clippy::result_large_err, reason = "the error is the answer, built once and sent at once")]
pub fn check<B>(request: &Request<B>) -> Result<(), Response<ReplyBody>> {
    let host_is_foreign = request.headers().get(HOST).is_some_and(|host| !is_own_host(host));
    if !is_of_web_page(request.headers()) && !host_is_foreign {
        return Ok(());
    }
    let message = "this port serves the agent beside it, at localhost: requests of web pages and for other hosts are refused";
    let refusal = reply::json(http::StatusCode::FORBIDDEN, &ErrorBody::new(Code::Forbidden, message));
    Err(refusal.map(ReplyBody::Other))
}

/// Whether a browser sends a request for a web page that is not of this host: the only clients with an `Origin`.
pub fn is_of_web_page(headers: &HeaderMap) -> bool {
    headers.get_all(ORIGIN).iter().any(|origin| !is_own_origin(origin))
}

/// Nothing, or a colon and a number.
fn is_port(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b':', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_own_origin(origin: &HeaderValue) -> bool {
    let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    uri.and_then(|uri| uri.host().map(is_local_name)).unwrap_or(false)
}

fn is_own_host(host: &HeaderValue) -> bool {
    // Nearly every request names one of these, and taking a URI apart costs it more than all other checks.
    if USUAL.iter().any(|name| host.as_bytes().strip_prefix(name.as_bytes()).is_some_and(is_port)) {
        return true;
    }
    let uri = host.to_str().ok().and_then(|host| host.parse::<Uri>().ok());
    uri.and_then(|uri| uri.host().map(is_local_name)).unwrap_or(false)
}

fn is_local_name(host: &str) -> bool {
    // The port does not matter: a page of another local program is refused by nothing but that program.
    is_loopback(&format!("{host}:80"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_in(headers: &[(http::HeaderName, &str)]) -> bool {
        let mut request = Request::new(());
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        request.headers_mut().extend(headers);
        check(&request).is_ok()
    }

    #[test]
    fn programs_on_this_host_are_let_in_and_web_pages_are_not() {
        for host in ["localhost:15001", "127.0.0.1:15001", "[::1]:15001", "localhost"] {
            assert!(is_let_in(&[(HOST, host)]), "{host}");
        }
        assert!(is_let_in(&[]) && is_let_in(&[(HOST, "localhost:1"), (ORIGIN, "http://localhost:3000")]));
        for host in ["rebound.example.org:15001", "localhost.example.org", "127.0.0.1.example.org:80"] {
            assert!(!is_let_in(&[(HOST, host)]), "{host}");
        }
        assert!(!is_let_in(&[(HOST, "localhost:1"), (ORIGIN, "https://example.org")]));
        assert!(!is_let_in(&[(HOST, "localhost:1"), (ORIGIN, "null")]));
    }
}
