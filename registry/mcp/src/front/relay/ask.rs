//! A request of a client on its way to the server, and what is said about it on the way back.

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::said::{Answer, Kind, Meta, Outcome, Place, Said};
use crate::call::{self, ClientInfo};
use crate::error::{
    HEADER_MISMATCH, INTERNAL_ERROR, METHOD_NOT_FOUND, MISSING_CLIENT_CAPABILITY, RpcError,
    UNSUPPORTED_VERSION,
};
use crate::front::changes;
use crate::front::era::Era;
use crate::front::passing;
use crate::front::reply::Refusal;
use crate::front::request::{even_null, is_object};
use crate::peer::Peer;
use crate::splice::{Splice, place};

/// What a client of an older revision is told when the server asks back.
const WANTS_MORE: &str = "the server wants something more before it goes on, which this client's revision of the protocol cannot give: use a client of revision 2026-07-28, or name everything in the parameters";

/// A request that goes to the server.
#[derive(Debug, Clone)]
pub struct Ask {
    pub(super) body: Bytes,
    pub(super) id: Box<RawValue>,
    pub(super) era: Era,
    pub(super) method: String,
    /// By which the client knows what is said on the way.
    pub(super) token: Option<Box<RawValue>>,
    /// Whether the server speaks the current revision.
    pub(super) to_current: bool,
}

/// A message for the client and the status that it has when it comes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Status of the response.
    pub status: StatusCode,
    /// The message, in one line.
    pub message: Bytes,
}

/// The places of a request that differ between the client's and the server's.
#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(borrow)]
    id: &'b RawValue,
    #[serde(borrow, default, deserialize_with = "even_null")]
    params: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct Params<'b> {
    #[serde(borrow, default, rename = "_meta", deserialize_with = "even_null")]
    meta: Option<&'b RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Token<'b> {
    #[serde(borrow, rename = "progressToken")]
    pub(super) token: Option<&'b RawValue>,
}

/// What the current revision adds to a result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Added<'t> {
    #[serde(borrow)]
    result_type: Option<&'t RawValue>,
    #[serde(borrow)]
    ttl_ms: Option<&'t RawValue>,
    #[serde(borrow)]
    cache_scope: Option<&'t RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'t>>,
}

/// Puts `members` into the `meta` of `params`, whichever of them are there.
fn introduce(
    splice: &mut Splice<'_>,
    text: &[u8],
    params: Option<&RawValue>,
    meta: Option<&RawValue>,
    members: &[u8],
) {
    let object = [b"{", members, b"}"].concat();
    let member = |name: &[u8], value: &[u8]| [b"\"", name, b"\":", value].concat();
    match (params.map(|params| (params, is_object(params))), meta.map(|meta| (meta, is_object(meta)))) {
        (_, Some((meta, true))) => splice.add(place(text, meta), members),
        (_, Some((null, false))) => splice.replace(place(text, null), object),
        (Some((params, true)), None) => splice.add(place(text, params), &member(b"_meta", &object)),
        (Some((null, false)), None) => {
            splice.replace(place(text, null), [b"{", &member(b"_meta", &object)[..], b"}"].concat());
        }
        (None, None) => {
            let begin = text.len() - text.trim_ascii_start().len();
            let params = [b"{", &member(b"_meta", &object)[..], b"}"].concat();
            splice.add(begin..text.len(), &member(b"params", &params));
        }
    }
}

// === impl Ask ===

impl Ask {
    /// The id that the client gave it.
    pub fn id(&self) -> &RawValue {
        &self.id
    }

    /// Whether it lasts until the client goes away, because it asks to be told of changes.
    pub fn listens(&self) -> bool {
        self.method == "subscriptions/listen"
    }

    /// The answer to a request that listens when there is nothing more to tell.
    pub fn end(&self) -> Bytes {
        changes::end(&self.id).into()
    }

    /// The line that asks the server, under the id `number`. A current server is told who asks; when the client is of an
    /// older revision and has not said so, that is `client`.
    pub fn line(&self, number: u64, client: ClientInfo) -> Vec<u8> {
        let text = &self.body[..];
        let number = number.to_string();
        let mut splice = Splice::of(text);
        // It was read before in the same way.
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(text) else { return Vec::new() };
        splice.replace(place(text, envelope.id), number.as_bytes());
        let params = envelope.params;
        let meta = params.and_then(|params| serde_json::from_str::<Params<'_>>(params.get()).ok()?.meta);
        let token = meta.and_then(|meta| serde_json::from_str::<Token<'_>>(meta.get()).ok()?.token);
        token.into_iter().for_each(|token| splice.replace(place(text, token), number.as_bytes()));
        if self.to_current && self.era == Era::Older {
            introduce(&mut splice, text, params, meta, &call::introduction(client));
        }
        splice.line()
    }

    /// The request was sent, and is not needed any more to understand what is said about it.
    pub fn was_sent(&mut self) {
        self.body = Bytes::new();
    }

    /// The line that tells the server that nobody waits any more for request `number`.
    pub fn cancellation(number: u64) -> Vec<u8> {
        call::cancelled(&Peer::Bare, number).body.to_vec()
    }

    /// What the client is told when the server says something on the way; `None` when it did not ask for that.
    pub fn note(&self, said: &Said) -> Option<Bytes> {
        let Kind::Note(_, Place(range), _) = &said.kind else { return None };
        let own = if self.listens() { &self.id } else { self.token.as_ref()? };
        let mut splice = Splice::of(&said.text);
        splice.replace(range.clone(), own.get());
        Some(splice.line().into())
    }

    /// What the client is told when the server has answered.
    pub fn answer(&self, said: &Said) -> Told {
        let Kind::Answer(_, Answer { id, outcome }) = &said.kind else {
            return self.failure("the server broke off");
        };
        let mut splice = Splice::of(&said.text);
        splice.replace(id.clone(), self.id.get());
        let status = match outcome {
            Outcome::Error(code) => self.status(*code),
            Outcome::Result(range) => {
                let result = said.text.get(range.clone()).unwrap_or_default();
                if self.era == Era::Older && !passing::is_whole(result) {
                    return self.wants_more();
                }
                self.complete(&mut splice, &said.text, range.start, result);
                StatusCode::OK
            }
        };
        Told { status, message: splice.line().into() }
    }

    /// What the client is told when the server is gone before it has answered. The status says that the request may have
    /// been carried out.
    pub fn failure(&self, reason: &str) -> Told {
        let error = RpcError { code: INTERNAL_ERROR, message: reason.to_owned(), data: None };
        let message = Refusal::passed_on(error).message(Some(&self.id));
        Told { status: StatusCode::BAD_GATEWAY, message: message.into() }
    }

    /// What the client is told when the request is not passed on at all.
    pub fn refusal(&self, status: StatusCode, reason: &str) -> Told {
        Told { status, ..self.failure(reason) }
    }

    /// Adds what a client of the current revision needs and the server has left out.
    fn complete(&self, splice: &mut Splice<'_>, text: &[u8], begin: usize, result: &[u8]) {
        let Ok(added) = serde_json::from_slice::<Added<'_>>(result) else { return };
        if self.listens()
            && let Some(subscription) = added.meta.and_then(|meta| meta.subscription)
        {
            splice.replace(place(text, subscription), self.id.get());
        }
        if self.era == Era::Older || self.to_current {
            return;
        }
        let is_kept = matches!(
            &*self.method,
            "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" | "resources/read"
        );
        let members = [
            (added.result_type.is_none(), r#""resultType":"complete""#),
            // The server has not said how long it may be kept: not at all.
            (is_kept && added.ttl_ms.is_none(), r#""ttlMs":0"#),
            (is_kept && added.cache_scope.is_none(), r#""cacheScope":"private""#),
        ];
        let members = members.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, member)| member);
        let members = members.collect::<Vec<_>>().join(",");
        if !members.is_empty() {
            splice.add(begin..begin + result.len(), members.as_bytes());
        }
    }

    /// A client of an older revision cannot answer what the server asks back.
    fn wants_more(&self) -> Told {
        let error = RpcError { code: INTERNAL_ERROR, message: WANTS_MORE.to_owned(), data: None };
        let message = Refusal::passed_on(error).message(Some(&self.id));
        Told { status: StatusCode::OK, message: message.into() }
    }

    /// Clients of the current revision go by the status as well.
    fn status(&self, code: i64) -> StatusCode {
        match code {
            METHOD_NOT_FOUND => self.era.unknown_method(),
            HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_VERSION if self.era == Era::Current => {
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::OK,
        }
    }
}
