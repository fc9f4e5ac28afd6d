//! What a server says on the way to an answer, as it is passed on to another client.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::raw::Members;
use crate::splice::{Splice, place};

const PROGRESS: &str = "notifications/progress";
const TOKEN: &str = "progressToken";
/// What concerns the connection to the server and not the call.
const OF_THE_HOP: [&str; 2] = ["/list_changed", "notifications/cancelled"];

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// How far the call is.
    Progress,
    /// It is meant for us and nobody else: a request, or about the server as a whole.
    OfTheHop,
    /// Something else about the call, such as a line of the server's log.
    Other,
}

// === impl Note ===

impl Note {
    /// What kind of message `text` is.
    pub fn of(text: &[u8]) -> Self {
        let message = serde_json::from_slice::<Members<'_>>(text).unwrap_or_default();
        let method =
            message.get("method").and_then(|method| serde_json::from_str::<String>(method.get()).ok());
        match method {
            Some(method) if method == PROGRESS => Self::Progress,
            Some(method)
                if message.get("id").is_none() && !OF_THE_HOP.iter().any(|end| method.ends_with(end)) =>
            {
                Self::Other
            }
            _ => Self::OfTheHop,
        }
    }
}

/// The note of progress in `text`, under another token; `None` when it is none.
pub fn under(text: &[u8], token: &RawValue) -> Option<Bytes> {
    let message = serde_json::from_slice::<Members<'_>>(text).ok()?;
    let params = serde_json::from_str::<Members<'_>>(message.get("params")?.get()).ok()?;
    let mut splice = Splice::of(text);
    splice.replace(place(text, params.get(TOKEN)?), token.get());
    Some(splice.line().into())
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn progress_is_told_under_the_token_of_whoever_asked() {
        let text = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken": 7, "progress": 1.50,"x":[ ]}}"#;
        assert_eq!(Note::of(text), Note::Progress);
        let told = under(text, &to_raw_value("mine").unwrap()).unwrap();
        assert_eq!(
            told,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken": "mine", "progress": 1.50,"x":[ ]}}"#
        );
        assert_eq!(under(br#"{"method":"notifications/progress"}"#, &to_raw_value(&1).unwrap()), None);
    }

    #[test]
    fn requests_and_what_is_about_the_server_stay_here() {
        for (text, note) in [
            (r#"{"method":"notifications/message","params":{}}"#, Note::Other),
            (r#"{"method":"notifications/tools/list_changed"}"#, Note::OfTheHop),
            (r#"{"id":1,"method":"sampling/createMessage"}"#, Note::OfTheHop),
            (r#"[]"#, Note::OfTheHop),
        ] {
            assert_eq!(Note::of(text.as_bytes()), note, "{text}");
        }
    }
}
