//! Splits a stream of server-sent events into the data of its events, and writes them.
//!
//! Source: WHATWG HTML, "Server-sent events", parsing; only `data` matters to the protocol.

use bytes::Bytes;

use crate::error::AnswerError;

/// Largest event, in bytes: the limit of a whole answer.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// What is sent so that nobody takes a silent stream for dead.
pub const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Takes pieces of a stream and gives back whole events.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so a newline now ends no second line.
    after_return: bool,
}

impl Events {
    /// Takes the next piece and returns the data of every event that it completes.
    ///
    /// # Errors
    /// When an event grows beyond [`MAX_EVENT_BYTES`].
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, AnswerError> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.grow(rest)?;
                break;
            };
            self.grow(&rest[..end])?;
            self.after_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            events.extend(self.end_line());
        }
        Ok(events)
    }

    fn grow(&mut self, part: &[u8]) -> Result<(), AnswerError> {
        if self.line.len() + self.data.len() + part.len() > MAX_EVENT_BYTES {
            return Err(AnswerError::EventTooLarge(MAX_EVENT_BYTES));
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// An empty line ends an event; events without data are comments or keep-alives.
    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        if let Some(value) = field(&line, b"data") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
        }
        None
    }
}

/// One event. Its data may have line breaks, each of which begins another `data:` line; a carriage return is one too, also
/// alone, and what stands behind it would be lost.
pub fn event(name: &str, data: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(name.len() + data.len() + 32);
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(name.as_bytes());
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        text.extend_from_slice(b"\ndata: ");
        text.extend_from_slice(line);
    }
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// The value of `line` if it is the field `name`; one space after the colon does not count.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(stream: &str, size: usize) -> Vec<String> {
        let mut events = Events::default();
        let pieces = stream.as_bytes().chunks(size);
        pieces
            .flat_map(|piece| events.take(piece).unwrap())
            .map(|data| String::from_utf8(data).unwrap())
            .collect()
    }

    #[test]
    fn events_are_found_in_pieces_of_any_size() {
        let stream = ": ping\n\nevent: message\r\nid: 1\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata\n\ndata:x\r\rdata: cut";
        for size in 1..40 {
            assert_eq!(split(stream, size), ["{\"a\":\n1}", "", "x"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        let piece = vec![b'x'; 1024 * 1024];
        assert!((0..20).any(|_| events.take(&piece).is_err()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(data in "[a-z{}: \r\n]{1,40}") {
            let read = Events::default().take(&event("message", data.as_bytes())).unwrap();
            prop_assert_eq!(read, [data.replace('\r', "\n").into_bytes()]);
        }

        #[test]
        fn pieces_make_no_difference(stream in "(data: ?[a-z]{0,3}|:c|\r|\n|\r\n|event:x){0,40}", size in 1usize..9) {
            prop_assert_eq!(split(&stream, size), split(&stream, 10_000));
        }
    }
}
