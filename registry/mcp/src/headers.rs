//! Names and values of the protocol's HTTP headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

/// The revision that a request speaks.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The JSON-RPC method (2026-07-28).
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The tool, prompt, resource or task that the method is about (2026-07-28).
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The session of an older server.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Media type of a single answer.
pub const JSON: &str = "application/json";
/// Media type of a streamed answer.
pub const EVENT_STREAM: &str = "text/event-stream";
/// What a client must accept.
pub const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// A header value for any text: as it is when it is plain ASCII without spaces at its ends, else as
/// `=?base64?…?=` (revision 2026-07-28, "Streamable HTTP", header values).
pub fn value(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    let encoded = || format!("=?base64?{}?=", STANDARD.encode(text));
    let value = if plain { HeaderValue::from_str(text) } else { HeaderValue::from_str(&encoded()) };
    // Both forms consist of visible ASCII, which a header value always takes.
    value.unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_and_the_rest_is_encoded() {
        assert_eq!(value("process_data"), "process_data");
        assert_eq!(value("größe"), "=?base64?Z3LDtsOfZQ==?=");
        assert_eq!(value(" a"), "=?base64?IGE=?=");
        assert_eq!(value(""), "");
    }
}
