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

/// What opens an encoded value.
const ENCODED: &str = "=?base64?";
/// What ends it.
const ENCODED_END: &str = "?=";

/// A header value for any text: as it is when it is plain ASCII without spaces at its ends, else as
/// `=?base64?…?=` (revision 2026-07-28, "Streamable HTTP", header values).
pub fn value(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && encoded(text).is_none();
    let encoded = || format!("{ENCODED}{}{ENCODED_END}", STANDARD.encode(text));
    let value = if plain { HeaderValue::from_str(text) } else { HeaderValue::from_str(&encoded()) };
    // Both forms consist of visible ASCII, which a header value always takes.
    value.unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The text that a header value stands for, which may be encoded as [`value`] does; `None` when it stands for none.
pub fn text(value: &HeaderValue) -> Option<String> {
    let plain = value.to_str().ok()?.trim_matches([' ', '\t']);
    match encoded(plain) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(plain.to_owned()),
    }
}

fn encoded(text: &str) -> Option<&str> {
    text.strip_prefix(ENCODED)?.strip_suffix(ENCODED_END)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays_and_the_rest_is_encoded() {
        assert_eq!(value("process_data"), "process_data");
        assert_eq!(value("größe"), "=?base64?Z3LDtsOfZQ==?=");
        assert_eq!(value(" a"), "=?base64?IGE=?=");
        assert_eq!(value(""), "");
    }

    #[test]
    fn spaces_around_a_value_do_not_count_and_garbage_is_no_text() {
        assert_eq!(text(&HeaderValue::from_static(" \tprocess_data ")).as_deref(), Some("process_data"));
        for garbage in ["=?base64?!?=", "=?base64?/w==?="] {
            assert_eq!(text(&HeaderValue::from_static(garbage)), None, "{garbage}");
        }
        assert_eq!(text(&HeaderValue::from_bytes(b"gr\xfc\xdfe").unwrap()), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(name in ".{0,40}") {
            prop_assert_eq!(text(&value(&name)), Some(name));
        }
    }
}
