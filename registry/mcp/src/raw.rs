//! Text that passes through as it is: its pieces, and the JSON in it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::scan;

/// One JSON value, in the bytes that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

/// Pieces of a text: the first as it came, which mostly is all of it, and then all of them in one place.
#[derive(Debug, Default)]
pub struct Pieces {
    first: Bytes,
    all: Vec<u8>,
}

/// The members of a JSON object in their order, each in the bytes that it came in.
#[derive(Debug, Default)]
pub struct Members<'t>(pub Vec<(Cow<'t, str>, &'t RawValue)>);

// === impl RawJson ===

impl RawJson {
    /// The value in `text`, which may have space around it.
    ///
    /// # Errors
    /// When `text` is not one JSON value.
    pub fn read(text: &Bytes) -> Result<Self, serde_json::Error> {
        if let Some(found) = scan::whole(text) {
            return Ok(Self(text.slice(found)));
        }
        let found: &RawValue = serde_json::from_slice(text)?;
        Ok(Self::within(text, found.get().as_bytes()))
    }

    /// The value that was found to be one within `text`.
    pub(crate) fn within(text: &Bytes, found: &[u8]) -> Self {
        Self(text.slice_ref(found))
    }

    /// What it is written as.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, as bytes to send.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<&RawValue> for RawJson {
    fn from(value: &RawValue) -> Self {
        Self(Bytes::copy_from_slice(value.get().as_bytes()))
    }
}

// === impl Pieces ===

impl Pieces {
    /// One more.
    pub fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
            return;
        }
        self.all.extend_from_slice(&std::mem::take(&mut self.first));
        self.all.extend_from_slice(&piece);
    }

    /// All of them.
    pub fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.into() }
    }
}

// === impl Members ===

impl<'t> Members<'t> {
    /// The value of the member `name`.
    pub fn get(&self, name: &str) -> Option<&'t RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }
}

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// Borrowed unless it has escapes in it.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together_in_their_order() {
        let mut pieces = Pieces::default();
        for piece in ["", "a", "bc", "", "d"] {
            pieces.push(Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!(pieces.whole(), "abcd");
        assert_eq!(Pieces::default().whole(), "");
    }

    #[test]
    fn members_keep_their_order_their_bytes_and_their_names() {
        let members: Members<'_> =
            serde_json::from_str(r#"{"b": 1e2, "\u0061\"": [ 1 ], "b":null}"#).unwrap();
        assert_eq!(members.get("b").unwrap().get(), "1e2");
        let all: Vec<_> = members.0.iter().map(|(name, value)| (&**name, value.get())).collect();
        assert_eq!(all, [("b", "1e2"), ("a\"", "[ 1 ]"), ("b", "null")]);
        assert!(serde_json::from_str::<Members<'_>>("[1]").is_err());
    }

    #[test]
    fn a_value_keeps_its_bytes_and_loses_the_space_around_it() {
        let read = |text: &'static str| RawJson::read(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read(" {\"b\": 1e2,  \"a\":[ ]}\n").unwrap().as_bytes(), br#"{"b": 1e2,  "a":[ ]}"#);
        for bad in ["", "{", "{} {}", "nothing", "\"a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(RawJson::read(&Bytes::from_static(b"\"\xff\"")).is_err());
    }
}
