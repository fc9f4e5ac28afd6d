//! Results of other servers, passed on to a client that may be of another era. Nothing in them is touched but what the eras
//! differ in.

use serde_json::value::RawValue;

use crate::raw::{Members, RawJson};

/// What kind of result it is, since the current revision; without it, the result is whole.
const KIND: &str = "resultType";
const WHOLE: &str = "\"complete\"";
/// What a client of an older revision is told when a tool asks back: it cannot answer.
pub(super) const WANTS_MORE: &str = r#"{"error":"the tool wants something more from the person or the model behind the client before it goes on, which this client's revision of the protocol cannot give: use a client of revision 2026-07-28, or name everything in the arguments"}"#;

/// The message that carries `result` to a client of the current revision.
pub(super) fn to_current(id: &RawValue, result: &RawJson) -> Vec<u8> {
    let text = result.as_bytes();
    match text.strip_prefix(b"{") {
        Some(rest) if kind(text).is_none() => {
            let comma = if rest.trim_ascii_start().starts_with(b"}") { "" } else { "," };
            message(id, &[b"{\"", KIND.as_bytes(), b"\":", WHOLE.as_bytes(), comma.as_bytes(), rest])
        }
        _ => message(id, &[text]),
    }
}

/// The message that carries `result` to a client of an older revision; none when the result asks for something that such
/// a client cannot give.
pub(super) fn to_older(id: &RawValue, result: &RawJson) -> Option<Vec<u8>> {
    let text = result.as_bytes();
    is_whole(text).then(|| message(id, &[text]))
}

/// Whether a result asks for nothing more.
pub(super) fn is_whole(result: &[u8]) -> bool {
    kind(result).is_none_or(|kind| kind.get() == WHOLE)
}

fn kind(result: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice::<Members<'_>>(result).ok()?.get(KIND)
}

fn message(id: &RawValue, result: &[&[u8]]) -> Vec<u8> {
    let before: [&[u8]; 3] = [b"{\"jsonrpc\":\"2.0\",\"id\":", id.get().as_bytes(), b",\"result\":"];
    [&before.concat()[..], &result.concat(), b"}"].concat()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::value::to_raw_value;

    use super::*;

    fn passed(result: &'static str) -> (String, Option<String>) {
        let (id, result) =
            (to_raw_value("a").unwrap(), RawJson::read(&Bytes::from_static(result.as_bytes())).unwrap());
        let text = |message: Vec<u8>| String::from_utf8(message).unwrap();
        (text(to_current(&id, &result)), to_older(&id, &result).map(text))
    }

    #[test]
    fn what_an_older_server_leaves_out_is_added_and_nothing_else_is_touched() {
        let (current, older) = passed(r#"{"content":[ ],"x" : 1e2}"#);
        assert_eq!(
            current,
            r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","content":[ ],"x" : 1e2}}"#
        );
        assert_eq!(older.unwrap(), r#"{"jsonrpc":"2.0","id":"a","result":{"content":[ ],"x" : 1e2}}"#);
        assert_eq!(passed("{ }").0, r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete" }}"#);
    }

    #[test]
    fn a_result_that_asks_back_is_for_clients_that_can_answer() {
        let (current, older) = passed(r#"{"resultType":"input_required","requestState":"s"}"#);
        assert!(current.ends_with(r#""result":{"resultType":"input_required","requestState":"s"}}"#));
        assert_eq!(older, None);
        assert!(passed(r#"{"content":[],"resultType":"complete"}"#).1.is_some());
    }
}
