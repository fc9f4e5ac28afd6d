//! What a client says beside a tool and its arguments, when its call is passed on to another server.
//!
//! All of it goes on as it came, known or not, but for what belongs to the hop: the revision and the token of progress. What a
//! client of the current revision says about itself means nothing to an older server and stays behind.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::raw::Members;
use crate::version;

/// What the names of the protocol's own members of `_meta` begin with.
const RESERVED: &str = "io.modelcontextprotocol/";
/// The revision in `_meta`, which belongs to the hop.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What a client says beside the tool and its arguments, as it is passed on: all of it but for what belongs to the hop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Members of the parameters, each with a comma behind it.
    params: Vec<u8>,
    /// The same of `_meta`.
    meta: Vec<u8>,
    /// The same of what a client of the current revision says about itself in `_meta`.
    introduction: Option<Vec<u8>>,
}

impl Beside {
    /// What stands in the parameters of a client's call beside the tool and the arguments; `is_current` says whether the
    /// client speaks the current revision, and the text of `given_back` stands in place of the member of that name.
    pub fn read(params: &Members<'_>, is_current: bool, given_back: Option<(&str, &str)>) -> Self {
        let mut beside = Self::default();
        if is_current {
            let mut introduction = Vec::new();
            member(&mut introduction, VERSION, version::CURRENT);
            beside.introduction = Some(introduction);
        }
        for (name, value) in &params.0 {
            match &**name {
                "name" | "arguments" => {}
                "_meta" => beside.read_meta(value),
                name if given_back.is_some_and(|(replaced, _)| replaced == name) => {}
                name => member(&mut beside.params, name, value),
            }
        }
        if let Some((name, text)) = given_back {
            member(&mut beside.params, name, text);
        }
        beside
    }

    fn read_meta(&mut self, meta: &RawValue) {
        let Ok(Members(members)) = serde_json::from_str(meta.get()) else { return };
        for (name, value) in members {
            match (&*name, &mut self.introduction) {
                ("progressToken" | VERSION, _) => {}
                (name, Some(introduction)) if name.starts_with(RESERVED) => member(introduction, name, value),
                (name, None) if name.starts_with(RESERVED) => {}
                (name, _) => member(&mut self.meta, name, value),
            }
        }
    }

    /// Members of the parameters, each with a comma behind it.
    pub(crate) fn params(&self) -> &[u8] {
        &self.params
    }

    /// Members of `_meta` that any server understands.
    pub(crate) fn meta(&self) -> &[u8] {
        &self.meta
    }

    /// Members of `_meta` with which a client of the current revision introduces itself to a server of the same.
    pub(crate) fn introduction(&self) -> Option<&[u8]> {
        self.introduction.as_deref()
    }

    /// How many bytes all of it takes.
    pub(crate) fn len(&self) -> usize {
        self.params.len() + self.meta.len() + self.introduction.as_ref().map_or(0, Vec::len)
    }
}

/// Serialising strings and raw JSON into memory has no way to fail.
fn member(into: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    let _ = serde_json::to_writer(&mut *into, name);
    into.push(b':');
    let _ = serde_json::to_writer(&mut *into, value);
    into.push(b',');
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST_STATE: &str = "requestState";

    #[test]
    fn everything_passes_on_but_for_what_belongs_to_the_hop() {
        let params = r#"{"name": "x", "new": 1e2, "arguments": {}, "requestState": "s", "_meta": {"a/b": [ ],
            "progressToken": "p", "io.modelcontextprotocol/protocolVersion": "2099-01-01",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}}"#;
        let params: Members<'_> = serde_json::from_str(params).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let beside = Beside::read(&params, true, Some((REQUEST_STATE, "t")));
        assert_eq!(text(beside.params()), r#""new":1e2,"requestState":"t","#);
        assert_eq!(text(beside.meta()), r#""a/b":[ ],"#);
        let introduction = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation": {}},"#;
        assert_eq!(text(beside.introduction().unwrap()), introduction);
        let older = Beside::read(&params, false, None);
        assert_eq!(text(older.params()), r#""new":1e2,"requestState":"s","#);
        assert_eq!((text(older.meta()), older.introduction()), (r#""a/b":[ ],"#.to_owned(), None));
    }
}
