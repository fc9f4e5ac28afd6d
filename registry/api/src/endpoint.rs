//! The rule for the URL under which an agent can be called.

use serde_json::Value;

use crate::document::{quoted, string};

/// What is an endpoint, as a regular expression.
pub(crate) const PATTERN: &str = r"^([Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?][A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]*)?|stdio:/*[!-.0-~][!-~]*)$";
/// What may stand in a path and a query beside letters and digits: the marks of RFC 3986, and brackets.
const PATH_MARKS: &str = "-._~:/?[]@!$&'()*+,;=%";
/// Longest endpoint, in bytes.
pub const MAX_ENDPOINT: usize = 2048;

/// Reads an endpoint: an `http:` or `https:` URL with a host and without user info, or a `stdio:` URL.
///
/// # Errors
/// Which part of the rule is broken.
pub fn read(value: &Value) -> Result<String, String> {
    let text = string(value)?;
    check(&text)?;
    Ok(text)
}

/// Checks an endpoint as [`read`] does.
///
/// # Errors
/// Which part of the rule is broken.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_ENDPOINT {
        return Err(format!("must be at most {MAX_ENDPOINT} bytes long, got {}", text.len()));
    }
    if let Some(name) = text.strip_prefix("stdio:") {
        let name = name.trim_start_matches('/');
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        return if plain { Ok(()) } else { Err("must name the agent: stdio://my-agent".to_owned()) };
    }
    let shape = || {
        format!(
            "must be an http:, https: or stdio: URL such as http://localhost:8001/mcp, got {}",
            quoted(text)
        )
    };
    let uri = text.parse::<http::Uri>().map_err(|_| shape())?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => authority,
        _ => return Err(shape()),
    };
    if authority.as_str().contains('@') {
        return Err("must not carry user info: credentials do not belong in the registry".to_owned());
    }
    if text.contains('#') {
        return Err("must not carry a fragment".to_owned());
    }
    if !is_host(authority.host()) {
        return Err(format!("must have the name or the address of a host, got {}", quoted(authority.host())));
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return Err(format!("must have a port from 1 to 65535, got {}", quoted(text)));
    }
    let path = text.split_once("://").and_then(|(_, rest)| rest.strip_prefix(authority.as_str()));
    if path.unwrap_or_default().bytes().all(is_of_path) {
        Ok(())
    } else {
        Err(format!("must be percent-encoded where it is no letter, digit or one of {PATH_MARKS}"))
    }
}

/// A name, as loosely as DNS and container networks have it, or an address.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| {
            !address.is_empty()
                && address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }),
        None => host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')),
    }
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && matches!(port.parse::<u16>(), Ok(1..))
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || PATH_MARKS.as_bytes().contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_called_or_bridged_is_an_endpoint() {
        for good in [
            "http://localhost:8001/mcp",
            "https://agents.example.org",
            "stdio://my-agent",
            "http://[::1]:9/mcp",
            "HTTP://my_agent.:080?a[]=%20",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "localhost:8001",
            "/mcp",
            "ftp://host/x",
            "http://",
            "http://user:pw@host/",
            "stdio://",
            "http://a b/",
            "http://h/#x",
            "http://h:99999/",
            "http://h:/",
            "http://h:+80/",
            "http://[::1]*",
            "http://[::1]x:80/",
            "http://a*b/",
            "http://h/a|b",
            "http://h/ä",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
