//! The rule for the URL under which an agent can be called.

use serde_json::Value;

use crate::document::{quoted, string};

/// What is an endpoint, as a regular expression, in the letters of RFC 3986; [`check`] takes more in hosts and paths.
pub(crate) const PATTERN: &str = r"^(https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+(\.[0-9]+){0,3}\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?][A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?|stdio:/*[!-.0-~][!-~]*)$";
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
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    match port.strip_prefix(':').map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        _ => Err(format!("must have a port from 1 to 65535, got {}", quoted(text))),
    }
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
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
