//! Which web pages may ask.
//!
//! A page that a browser shows can send requests to this machine, also under a name that its owner points here
//! (DNS rebinding); the browser then names the page's origin. Programs name none, so they are always let in, under
//! whatever host name they found us.

use http::HeaderMap;
use http::header::ORIGIN;

/// Pages on these hosts belong to this machine.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The origins whose pages may ask: those of this machine, and these.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    others: Vec<String>,
}

impl Origins {
    /// Lets in pages of these origins too, such as `https://console.example.com`.
    pub fn with(others: impl IntoIterator<Item = String>) -> Self {
        Self { others: others.into_iter().collect() }
    }

    /// Whether a request with these headers may be answered.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return !headers.contains_key(ORIGIN);
        };
        origin.to_str().is_ok_and(|origin| is_loopback(origin) || self.names(origin))
    }

    fn names(&self, origin: &str) -> bool {
        self.others.iter().any(|other| other.eq_ignore_ascii_case(origin))
    }
}

fn is_loopback(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    // The colons inside the brackets of an IPv6 address belong to the host.
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(scheme, "http" | "https") && LOOPBACK.iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allowed(origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        Origins::with(["https://console.example.com".to_owned()]).allow(&headers)
    }

    #[test]
    fn programs_and_pages_of_this_machine_are_let_in() {
        for origins in [
            &[][..],
            &["http://localhost"],
            &["http://localhost:3000"],
            &["https://LOCALHOST:8443"],
            &["http://127.0.0.1:8000"],
            &["http://[::1]:8000"],
            &["http://[::1]"],
            &["https://console.example.com"],
        ] {
            assert!(allowed(origins), "{origins:?}");
        }
    }

    #[test]
    fn every_other_page_is_refused() {
        for origins in [
            &["http://evil.example.com"][..],
            &["http://localhost.evil.example.com"],
            &["http://evil.example.com:80/http://localhost"],
            &["http://127.0.0.1.evil.example.com:8000"],
            &["http://user@localhost"],
            &["null"],
            &["localhost"],
            &["file://localhost"],
            &["https://console.example.com:444"],
            &["http://localhost", "http://evil.example.com"],
        ] {
            assert!(!allowed(origins), "{origins:?}");
        }
    }
}
