//! Server-sent events, taken apart as they come. Pure.
//!
//! Source: WHATWG HTML, "Server-sent events", §9.2.6; what a registry does not send (`retry`, bare carriage returns) is
//! left out.

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// What kind of event it is; empty when the server does not say.
    pub event: String,
    /// Where a stream that broke off may go on.
    pub id: String,
    /// The lines of its data.
    pub data: String,
}

/// The beginning of an event whose end has not come yet.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    begun: Event,
}

impl Parser {
    /// Takes in the next bytes and returns the events that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                events
                    .extend(self.end_of_line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
            }
        }
        events
    }

    fn end_of_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.begun);
            return (event != Event::default()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.begun.event = value.to_owned(),
            "id" => self.begun.id = value.to_owned(),
            "data" if self.begun.data.is_empty() => self.begun.data = value.to_owned(),
            "data" => self.begun.data = format!("{}\n{value}", self.begun.data),
            // A comment, which keeps the connection alive, or a field that means nothing here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\nevent: ADDED\nid: 7\ndata: {\"a\":\ndata: 1}\n\n\r\nevent:BOOKMARK\r\nid:8\r\n\r\n";

    fn expected() -> [Event; 2] {
        let event = |event: &str, id: &str, data: &str| Event {
            event: event.into(),
            id: id.into(),
            data: data.into(),
        };
        [event("ADDED", "7", "{\"a\":\n1}"), event("BOOKMARK", "8", "")]
    }

    #[test]
    fn events_are_read_and_comments_are_not() {
        assert_eq!(Parser::default().take(STREAM.as_bytes()), expected());
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let events =
                STREAM.as_bytes().chunks(size).flat_map(|bytes| parser.take(bytes)).collect::<Vec<_>>();
            assert_eq!(events, expected(), "in pieces of {size}");
        }
    }
}
