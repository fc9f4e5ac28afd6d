//! The JSON-RPC envelope. Results stay the bytes that they were.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{AnswerError, RpcError};
use crate::raw::RawJson;
use crate::scan;

/// The notification that the list of tools has changed.
pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

/// What a server sends: the answer to a request, or something else that happens on the way to it.
#[derive(Debug)]
pub enum ServerMessage {
    /// The request was carried out.
    Result(RawJson),
    /// The request failed.
    Error(RpcError),
    /// A notification or a request of the server's own.
    Other {
        /// Its method.
        method: String,
    },
}

#[derive(Deserialize)]
struct Envelope<'t> {
    method: Option<String>,
    #[serde(borrow)]
    result: Option<&'t RawValue>,
    error: Option<RpcError>,
}

impl ServerMessage {
    /// Reads one message.
    ///
    /// Ids are not compared: servers are known to answer errors with `null` or words of their own, and one HTTP
    /// exchange has one request.
    ///
    /// # Errors
    /// When the text is no JSON-RPC message.
    pub fn read(text: &Bytes) -> Result<Self, AnswerError> {
        if let Some(result) = Self::plain_result(text) {
            return Ok(Self::Result(result));
        }
        match serde_json::from_slice(text).map_err(AnswerError::NotJsonRpc)? {
            Envelope { error: Some(error), .. } => Ok(Self::Error(error)),
            Envelope { result: Some(result), .. } => {
                Ok(Self::Result(RawJson::within(text, result.get().as_bytes())))
            }
            Envelope { method: Some(method), .. } => Ok(Self::Other { method }),
            Envelope { .. } => Err(AnswerError::Empty),
        }
    }

    /// The result in a message that holds one and nothing else that matters, as nearly all do.
    fn plain_result(text: &Bytes) -> Option<RawJson> {
        let mut result = None;
        scan::members(text, |name, value| match name {
            b"result" => result.replace(value).is_none().then_some(()),
            b"error" | b"method" => None,
            _ => Some(()),
        })?;
        result.filter(|result| *result != b"null").map(|result| RawJson::within(text, result))
    }

    /// Whether this ends the exchange.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Other { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<ServerMessage, AnswerError> {
        ServerMessage::read(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_result_keeps_its_bytes() {
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{"b": 1e2,  "a":[ ],"unknown":{"x":null}}}"#;
        let ServerMessage::Result(result) = read(text).unwrap() else { panic!("no result") };
        assert_eq!(result.into_bytes(), r#"{"b": 1e2,  "a":[ ],"unknown":{"x":null}}"#);
    }

    #[test]
    fn errors_and_notifications_are_told_apart() {
        let error =
            r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}"#;
        assert!(matches!(read(error).unwrap(), ServerMessage::Error(error) if error.code == -32600));
        for odd in [
            r#"{"result":null}"#,
            r#"{"result":1,"result":2}"#,
            r#"{"result":1,"error":{}}"#,
            r#"{"result":1"#,
        ] {
            assert!(read(odd).is_err(), "{odd}");
        }
        let both = r#"{"result":1,"error":{"code":7,"message":"no"},"id":1}"#;
        assert!(matches!(read(both).unwrap(), ServerMessage::Error(error) if error.code == 7));
        let escaped = r#"{"re\u0073ult":{"a":1}}"#;
        assert!(
            matches!(read(escaped).unwrap(), ServerMessage::Result(result) if result.as_bytes() == br#"{"a":1}"#)
        );
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
        assert!(!read(progress).unwrap().is_answer());
        assert!(read("{}").is_err() && read("hello").is_err());
    }
}
