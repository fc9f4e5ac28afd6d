//! JSON that passes through unparsed.

use bytes::Bytes;
use serde_json::value::RawValue;

/// One JSON value, in the bytes that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// The value in `text`, which may have space around it.
    ///
    /// # Errors
    /// When `text` is not one JSON value.
    pub fn read(text: &Bytes) -> Result<Self, serde_json::Error> {
        Ok(Self::within(text, serde_json::from_slice(text)?))
    }

    /// The value that was found within `text`.
    pub fn within(text: &Bytes, found: &RawValue) -> Self {
        Self(text.slice_ref(found.get().as_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;

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
