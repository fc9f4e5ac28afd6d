//! Reads the answer of a server as its pieces arrive, whichever of the two forms it has.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::error::AnswerError;
use crate::headers;
use crate::message::ServerMessage;
use crate::raw::Pieces;
use crate::sse::Events;

/// An answer that is still coming in.
#[derive(Debug)]
pub enum AnswerReader {
    /// One JSON message.
    Json(Pieces),
    /// Server-sent events, one of which is the answer.
    Events(Events),
}

impl AnswerReader {
    /// Begins to read an answer with these headers.
    ///
    /// # Errors
    /// When the content is of a type that the protocol does not know.
    pub fn begin(headers: &HeaderMap) -> Result<Self, AnswerError> {
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if content_type == headers::JSON.as_bytes() {
            return Ok(Self::Json(Pieces::default()));
        }
        let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(headers::EVENT_STREAM.as_bytes()) {
            return Ok(Self::Events(Events::default()));
        }
        // An empty answer, as to a notification, has no type.
        if essence.is_empty() || essence.eq_ignore_ascii_case(headers::JSON.as_bytes()) {
            return Ok(Self::Json(Pieces::default()));
        }
        Err(AnswerError::ContentType(String::from_utf8_lossy(content_type).into_owned()))
    }

    /// Takes the next piece; returns the answer as soon as it is there. What else the server says on the way, such as how
    /// far it is, goes to `note`, byte for byte.
    ///
    /// # Errors
    /// When what came is no JSON-RPC.
    pub fn take(
        &mut self,
        piece: Bytes,
        mut note: impl FnMut(Bytes),
    ) -> Result<Option<ServerMessage>, AnswerError> {
        match self {
            Self::Json(pieces) => {
                pieces.push(piece);
                Ok(None)
            }
            Self::Events(events) => {
                for data in events.take(&piece)?.into_iter().filter(|data| !data.is_empty()) {
                    let data = Bytes::from(data);
                    let message = ServerMessage::read(&data)?;
                    if message.is_answer() {
                        return Ok(Some(message));
                    }
                    note(data);
                }
                Ok(None)
            }
        }
    }

    /// Ends the reading when the body has ended; `None` for an answer without content.
    ///
    /// # Errors
    /// When the answer is not there or is no JSON-RPC.
    pub fn finish(self) -> Result<Option<ServerMessage>, AnswerError> {
        match self {
            Self::Json(pieces) => match pieces.whole() {
                text if text.trim_ascii().is_empty() => Ok(None),
                text => ServerMessage::read(&text).map(Some),
            },
            Self::Events(_) => Err(AnswerError::StreamEnded),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn reader(content_type: &'static str) -> Result<AnswerReader, AnswerError> {
        AnswerReader::begin(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
    }

    #[test]
    fn a_json_answer_is_read_at_its_end() {
        let mut json = reader("application/json; charset=utf-8").unwrap();
        assert!(
            json.take(Bytes::from_static(br#"{"id":1,"#), drop).unwrap().is_none()
                && json.take(Bytes::from_static(br#""result":{}}"#), drop).unwrap().is_none()
        );
        assert!(matches!(json.finish().unwrap(), Some(ServerMessage::Result(_))));
    }

    #[test]
    fn progress_on_the_way_does_not_end_a_stream() {
        let mut events = reader("text/event-stream").unwrap();
        let progress = b"event: message\ndata: {\"method\":\"notifications/progress\"}\n\n: ping\n\n";
        let mut notes = Vec::new();
        assert!(events.take(Bytes::from_static(progress), |note| notes.push(note)).unwrap().is_none());
        assert_eq!(notes, [r#"{"method":"notifications/progress"}"#]);
        assert!(
            events.take(Bytes::from_static(b"data: {\"id\":1,\"result\":{}}\n\n"), drop).unwrap().is_some()
        );
    }

    #[test]
    fn a_stream_that_ends_early_and_a_web_page_are_errors() {
        assert!(matches!(reader("text/event-stream").unwrap().finish(), Err(AnswerError::StreamEnded)));
        assert!(matches!(reader("text/html"), Err(AnswerError::ContentType(_))));
    }
}
