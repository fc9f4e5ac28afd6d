//! What a server hands out to be given back: the state of a call that asks back, the id of a task. Only the server that made
//! it understands it, so whoever passes results of many servers on writes into it whose it is, and remembers nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::raw::{Members, RawJson};
use crate::splice::{Splice, place};

/// The state of a call that asks back.
pub const REQUEST_STATE: &str = "requestState";
/// The id of a task.
pub const TASK_ID: &str = "taskId";
/// What all sealed texts begin with.
const SEAL: &str = "m1.";

/// Whether `method` is about a task.
pub fn is_about_task(method: &str) -> bool {
    matches!(method, "tasks/get" | "tasks/update" | "tasks/cancel")
}

/// Whose something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The agent that made it.
    pub agent: String,
    /// The tool whose call it belongs to.
    pub tool: String,
}

/// The result of a call of `holder`'s tool, with its state and its task id sealed; most results have neither and stay as they
/// are.
pub fn seal_result(result: RawJson, holder: &Holder) -> RawJson {
    let text = result.as_bytes();
    let may_have = |name: &str| memchr::memmem::find(text, name.as_bytes()).is_some();
    if !may_have(REQUEST_STATE) && !may_have(TASK_ID) {
        return result;
    }
    let Ok(Members(members)) = serde_json::from_slice(text) else { return result };
    let mut splice = Splice::of(text);
    // Of two of one name clients take the one or the other.
    let sealed = members.iter().filter(|(name, _)| matches!(&**name, REQUEST_STATE | TASK_ID));
    for (_, value) in sealed {
        if let Ok(inner) = serde_json::from_str::<String>(value.get()) {
            // Writing a string into memory has no way to fail.
            let sealed = serde_json::to_vec(&seal(&inner, holder)).unwrap_or_default();
            splice.replace(place(text, value), sealed);
        }
    }
    RawJson::read(&splice.line().into()).unwrap_or(result)
}

/// `inner`, and whose it is.
pub fn seal(inner: &str, holder: &Holder) -> String {
    let [agent, tool] = [&holder.agent, &holder.tool].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{SEAL}{agent}.{tool}.{inner}")
}

/// What was sealed, and whose it is; `None` when it was not sealed here.
pub fn open(sealed: &str) -> Option<(Holder, &str)> {
    let mut parts = sealed.strip_prefix(SEAL)?.splitn(3, '.');
    let mut name = || String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
    let holder = Holder { agent: name()?, tool: name()? };
    Some((holder, parts.next()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn holder() -> Holder {
        Holder { agent: "data-7".to_owned(), tool: "prod__process.data".to_owned() }
    }

    fn sealed(result: &str) -> String {
        let result = RawJson::read(&Bytes::copy_from_slice(result.as_bytes())).unwrap();
        String::from_utf8(seal_result(result, &holder()).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_result_keeps_its_bytes_but_for_what_is_to_be_given_back() {
        for plain in
            [r#"{"content":[ ]}"#, r#"{"content": ["requestState"] }"#, r#"{"taskId":null,"x":1e2}"#, "{}"]
        {
            assert_eq!(sealed(plain), plain);
        }
        let twice = sealed(r#"{"taskId":"a","taskId":"b"}"#);
        assert!(!twice.contains(r#""a""#) && !twice.contains(r#""b""#), "{twice}");
        let mine = sealed(r#"{"requestState": "s.\"t", "n": 1.50, "taskId": "", "requestStates": "x"}"#);
        let members: Members<'_> = serde_json::from_str(&mine).unwrap();
        let inner = |name| serde_json::from_str::<String>(members.get(name).unwrap().get()).unwrap();
        assert_eq!(open(&inner("requestState")), Some((holder(), "s.\"t")));
        assert_eq!(open(&inner("taskId")), Some((holder(), "")));
        assert_eq!(members.get("n").unwrap().get(), "1.50");
        assert_eq!(inner("requestStates"), "x");
    }

    #[test]
    fn what_is_none_of_ours_is_not_opened() {
        for foreign in ["", "m1", "m1.", "m1.YQ", "m1.YQ.YQ", "m2.YQ.YQ.x", "m1.!.YQ.x", "plain"] {
            assert_eq!(open(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened_again(agent in ".{0,20}", tool in ".{0,20}", inner in ".{0,40}") {
            let holder = Holder { agent, tool };
            let sealed = seal(&inner, &holder);
            prop_assert_eq!(open(&sealed), Some((holder, inner.as_str())));
        }
    }
}
