//! What a server says, line by line.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{METHOD_NOT_FOUND, RpcError};
use crate::splice::place;

/// A message of the server.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its text.
    pub(super) text: Bytes,
    /// What it is.
    pub kind: Kind,
}

/// What a message of the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The answer to the request that has this number.
    Answer(u64, Answer),
    /// Something that is said on the way to the answer of the request with this number: how far it is, or that something
    /// has changed, perhaps this list.
    Note(u64, Place, Option<List>),
    /// A list has changed, which everybody who listens wants to know.
    Changed(List),
    /// A request of the server's own, and the line that answers it.
    Asked(Vec<u8>),
    /// What means nothing to us: a notification without a request that it belongs to.
    Other,
}

/// Where the parts of an answer stand that differ from client to client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(super) id: Range<usize>,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The place of the result.
    Result(Range<usize>),
    /// The code of an error.
    Error(i64),
}

/// Where the number of the request stands that a note belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub(super) Range<usize>);

/// A list of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Of its tools.
    Tools,
    /// Of its prompts.
    Prompts,
    /// Of its resources.
    Resources,
}

#[derive(Deserialize)]
struct Envelope<'t> {
    #[serde(borrow)]
    id: Option<&'t RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'t, str>>,
    #[serde(borrow)]
    params: Option<&'t RawValue>,
    #[serde(borrow)]
    result: Option<&'t RawValue>,
    error: Option<Code>,
}

#[derive(Deserialize)]
struct Code {
    code: i64,
}

#[derive(Deserialize)]
struct Params<'t> {
    #[serde(borrow, rename = "progressToken")]
    token: Option<&'t RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'t>>,
}

#[derive(Deserialize)]
pub(super) struct Meta<'t> {
    #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
    pub(super) subscription: Option<&'t RawValue>,
}

// === impl Said ===

impl Said {
    /// Reads one line; `None` when it is no message.
    pub fn read(text: Bytes) -> Option<Self> {
        let kind = kind(&text)?;
        Some(Self { text, kind })
    }

    /// The result of an answer; `None` for an error, and for what is no answer.
    pub fn result(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Answer(_, Answer { outcome: Outcome::Result(range), .. }) => self.text.get(range.clone()),
            _ => None,
        }
    }

    /// The error of an answer that is one.
    pub fn error(&self) -> Option<RpcError> {
        #[derive(Deserialize)]
        struct Failed {
            error: RpcError,
        }
        serde_json::from_slice::<Failed>(&self.text).ok().map(|failed| failed.error)
    }
}

// === impl List ===

impl List {
    /// The list that a notification of this method is about.
    fn named(method: &str) -> Option<Self> {
        match method {
            "notifications/tools/list_changed" => Some(Self::Tools),
            "notifications/prompts/list_changed" => Some(Self::Prompts),
            "notifications/resources/list_changed" => Some(Self::Resources),
            _ => None,
        }
    }
}

fn kind(text: &[u8]) -> Option<Kind> {
    let envelope: Envelope<'_> = serde_json::from_slice(text).ok()?;
    match envelope {
        Envelope { method: Some(method), id: Some(id), .. } => Some(Kind::Asked(reply(&method, id))),
        Envelope { method: Some(method), id: None, params, .. } => Some(notification(text, &method, params)),
        Envelope { id: Some(id), result, error, .. } => {
            let outcome = match (error, result) {
                (Some(Code { code }), _) => Outcome::Error(code),
                (None, Some(result)) => Outcome::Result(place(text, result)),
                (None, None) => return None,
            };
            // An id that is none of ours answers nothing.
            let number = id.get().parse().ok();
            Some(
                number.map_or(Kind::Other, |number| {
                    Kind::Answer(number, Answer { id: place(text, id), outcome })
                }),
            )
        }
        // The server could not read a line of ours, and does not say which.
        Envelope { id: None, error: Some(_), .. } => Some(Kind::Other),
        _ => None,
    }
}

fn notification(text: &[u8], method: &str, params: Option<&RawValue>) -> Kind {
    let params = params.and_then(|params| serde_json::from_str::<Params<'_>>(params.get()).ok());
    let (token, meta) = params.map_or((None, None), |params| (params.token, params.meta));
    let subscription = meta.and_then(|meta| meta.subscription);
    let belongs = if method == "notifications/progress" { token } else { subscription };
    if let Some(belongs) = belongs
        && let Ok(number) = belongs.get().parse()
    {
        return Kind::Note(number, Place(place(text, belongs)), List::named(method));
    }
    List::named(method).map_or(Kind::Other, Kind::Changed)
}

/// We are one client for many, with no model, no person and no folders behind us, and said so.
fn reply(method: &str, id: &RawValue) -> Vec<u8> {
    let id = id.get();
    let reply = match method {
        "ping" => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#),
        _ => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{METHOD_NOT_FOUND},"message":"this client serves many callers and offers no sampling, elicitation or roots"}}}}"#
        ),
    };
    reply.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(text: &'static str) -> Option<Kind> {
        Said::read(Bytes::from_static(text.as_bytes())).map(|said| said.kind)
    }

    #[test]
    fn answers_and_notes_are_told_by_their_numbers() {
        let answer = kind_of(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        assert_eq!(answer, Some(Kind::Answer(7, Answer { id: 22..23, outcome: Outcome::Result(33..35) })));
        assert!(matches!(
            kind_of(r#"{"id":7,"error":{"code":-32601,"message":"no"}}"#),
            Some(Kind::Answer(7, Answer { outcome: Outcome::Error(-32601), .. }))
        ));
        assert!(matches!(
            kind_of(r#"{"method":"notifications/progress","params":{"progressToken":9,"progress":1}}"#),
            Some(Kind::Note(9, _, None))
        ));
        let of_listener = r#"{"method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}"#;
        assert!(matches!(kind_of(of_listener), Some(Kind::Note(3, _, Some(List::Tools)))));
        assert_eq!(
            kind_of(r#"{"method":"notifications/tools/list_changed"}"#),
            Some(Kind::Changed(List::Tools))
        );
    }

    #[test]
    fn the_server_is_answered_when_it_asks() {
        let Some(Kind::Asked(pong)) = kind_of(r#"{"id":"s1","method":"ping"}"#) else { panic!("no request") };
        assert_eq!(pong, br#"{"jsonrpc":"2.0","id":"s1","result":{}}"#);
        let Some(Kind::Asked(refusal)) = kind_of(r#"{"id":2,"method":"sampling/createMessage"}"#) else {
            panic!("no request")
        };
        assert!(String::from_utf8(refusal).unwrap().contains("-32601"));
    }

    #[test]
    fn what_is_no_message_is_rubbish_and_what_answers_nothing_is_not() {
        for rubbish in ["", "Starting …", "{}", "[]", "7", r#"{"id":1}"#, r#"{"id":1,"id":2,"result":{}}"#]
        {
            assert_eq!(kind_of(rubbish), None, "{rubbish}");
        }
        for other in [
            r#"{"id":"x","result":{}}"#,
            r#"{"id":-1,"result":{}}"#,
            r#"{"id":null,"error":{"code":-32700}}"#,
            r#"{"method":"notifications/message","params":{"level":"info"}}"#,
        ] {
            assert_eq!(kind_of(other), Some(Kind::Other), "{other}");
        }
    }
}
