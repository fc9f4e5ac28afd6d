//! JSON text of which some parts are replaced, and all others stay the bytes that they were.

use std::ops::Range;

use serde_json::value::RawValue;

/// A text and what is to be written in place of some of its parts.
#[derive(Debug)]
pub struct Splice<'t> {
    text: &'t [u8],
    /// None of them overlaps another.
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

/// Where `part`, which was found in `text`, stands there.
pub fn place(text: &[u8], part: &RawValue) -> Range<usize> {
    let part = part.get().as_bytes();
    let begin = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    begin..begin + part.len()
}

impl<'t> Splice<'t> {
    /// `text` as it is.
    pub fn of(text: &'t [u8]) -> Self {
        Self { text, edits: Vec::new() }
    }

    /// Writes `with` in place of what stands in `range`.
    pub fn replace(&mut self, range: Range<usize>, with: impl Into<Vec<u8>>) {
        self.edits.push((range, with.into()));
    }

    /// Writes `members`, JSON without braces, before the other members of the object in `range`.
    pub fn add(&mut self, range: Range<usize>, members: &[u8]) {
        let (begin, rest) = (range.start + 1, self.text.get(range.start + 1..range.end).unwrap_or_default());
        let is_empty = rest.trim_ascii_start().starts_with(b"}");
        let members = if is_empty { members.to_vec() } else { [members, b","].concat() };
        self.edits.push((begin..begin, members));
    }

    /// The new text in one line, as messages between programs are framed and events of a stream as well. Line ends
    /// within JSON stand between values only, where a space means the same.
    pub fn line(mut self) -> Vec<u8> {
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let more = self.edits.iter().map(|(_, with)| with.len()).sum::<usize>();
        let (mut line, mut at) = (Vec::with_capacity(self.text.len() + more + 1), 0);
        for (range, with) in &self.edits {
            line.extend_from_slice(self.text.get(at..range.start).unwrap_or_default());
            line.extend_from_slice(with);
            at = range.end;
        }
        line.extend_from_slice(self.text.get(at..).unwrap_or_default());
        for byte in line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Message<'t> {
        #[serde(borrow)]
        id: &'t RawValue,
        #[serde(borrow)]
        params: &'t RawValue,
    }

    fn spliced(text: &str, members: &str) -> String {
        let message: Message<'_> = serde_json::from_str(text).unwrap();
        let mut splice = Splice::of(text.as_bytes());
        splice.add(place(text.as_bytes(), message.params), members.as_bytes());
        splice.replace(place(text.as_bytes(), message.id), "7");
        String::from_utf8(splice.line()).unwrap()
    }

    #[test]
    fn only_what_is_named_changes() {
        assert_eq!(
            spliced(r#"{"x" : [1e2 ], "id":"a b", "params":{ "k":1}, "y":"\n"}"#, r#""n":2"#),
            r#"{"x" : [1e2 ], "id":7, "params":{"n":2, "k":1}, "y":"\n"}"#
        );
        assert_eq!(spliced(r#"{"params":{ },"id":1}"#, r#""n":2"#), r#"{"params":{"n":2 },"id":7}"#);
    }

    #[test]
    fn the_outcome_is_one_line() {
        assert_eq!(
            spliced("{\"id\":\r\n1,\n\"params\" : {\n}}\n", r#""n":2"#),
            r#"{"id":  7, "params" : {"n":2 }} "#
        );
    }
}
