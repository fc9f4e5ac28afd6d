//! What a client wants of a server that it reaches through us.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::Map;
use serde_json::value::RawValue;

use super::ask::{Ask, Token};
use super::listening::Listening;
use super::nature::Nature;
use crate::error::{INTERNAL_ERROR, RpcError};
use crate::front::era::Era;
use crate::front::origins::Origins;
use crate::front::reply::{Refusal, Reply, success};
use crate::front::request::{self, Message, Request};
use crate::param_header::ToolParams;

/// What a client wants.
#[derive(Debug)]
pub enum Wish {
    /// Nothing that the server is needed for: this is the answer.
    Answered(Reply),
    /// To begin a conversation of an older revision, with this answer; it is to be given a session.
    Opened(Reply),
    /// That nobody waits any more for the request that it gave this id. Only clients of older revisions say so.
    Cancel(Box<RawValue>),
    /// To be told when a list changes, by a server that tells everybody.
    Listen(Listening),
    /// Something of the server.
    Ask(Ask),
}

#[derive(Deserialize)]
struct Params<'b> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'b RawValue>,
}

impl Wish {
    /// Reads a request to the server that said `nature` of itself and whose tools have `params` that stand in headers. What is
    /// malformed, and what is against the rules of its era, is answered with a refusal.
    pub fn read(
        method: &Method,
        headers: &HeaderMap,
        body: &Bytes,
        nature: &Nature,
        params: &ToolParams,
    ) -> Self {
        if !Origins::default().allow(headers) {
            return refused(&Refusal::forbidden(), None);
        }
        match *method {
            Method::POST => {}
            Method::GET if nature.announces() => return Self::Listen(Listening::older()),
            _ => return Self::Answered(Reply::only(if nature.announces() { "GET, POST" } else { "POST" })),
        }
        if request::batch(body).is_some() {
            return refused(
                &Refusal::invalid("this server takes no batches: send messages one by one"),
                None,
            );
        }
        match Message::read(body) {
            Ok(Message::Request(request)) => {
                let checked = check(headers, &request, params);
                match checked.and_then(|era| of_request(era, body, &request, nature)) {
                    Ok(wish) => wish,
                    Err(refusal) => refused(&refusal, Some(request.id)),
                }
            }
            Ok(Message::Cancelled(id)) => Self::Cancel(id.to_owned()),
            Ok(Message::Other) => Self::Answered(Reply::accepted()),
            Err(refusal) => refused(&refusal, None),
        }
    }
}

/// A refusal of a request that was not read.
pub fn unread(status: StatusCode, reason: &str) -> Reply {
    let error = RpcError { code: INTERNAL_ERROR, message: reason.to_owned(), data: None };
    Reply::json(status, Refusal::passed_on(error).message(None))
}

/// The era of a request that keeps its rules.
fn check(headers: &HeaderMap, request: &Request<'_>, tools: &ToolParams) -> Result<Era, Refusal> {
    let params = request.params().ok();
    let era = Era::of(headers, request, params.as_ref())?;
    if era == Era::Current
        && request.method == "tools/call"
        && let Some(params) = params
        && let Some(tool) = params.name()?
    {
        let arguments = params.arguments.map_or(&b"{}"[..], |arguments| arguments.get().as_bytes());
        tools.check(&tool, arguments, headers).map_err(Refusal::mismatch)?;
    }
    Ok(era)
}

fn of_request(era: Era, body: &Bytes, request: &Request<'_>, nature: &Nature) -> Result<Wish, Refusal> {
    let answered = |message| Wish::Answered(Reply::json(StatusCode::OK, message));
    match (era, &*request.method, nature.is_current) {
        (Era::Older, "initialize", _) => {
            let wanted = request.params()?.protocol_version()?;
            let message = nature.initialized(request.id, wanted.as_deref())?;
            Ok(Wish::Opened(Reply::json(StatusCode::OK, message)))
        }
        (Era::Older, "ping", _) => success(request.id, Map::new()).map(answered),
        // A server for clients of both eras might take it as the beginning of a conversation with us.
        (Era::Older, unknown @ "subscriptions/listen", _)
        | (Era::Current, unknown @ ("initialize" | "ping"), _) => {
            Err(Refusal::method(era.unknown_method(), unknown))
        }
        (Era::Current, "server/discover", _) => nature.discovered(request.id).map(answered),
        (Era::Current, "subscriptions/listen", false) => {
            Listening::current(request.id, request.raw_params()).map(Wish::Listen)
        }
        _ => Ok(Wish::Ask(Ask {
            body: body.clone(),
            id: request.id.to_owned(),
            era,
            method: request.method.clone().into_owned(),
            token: token(request)?.map(RawValue::to_owned),
            to_current: nature.is_current,
        })),
    }
}

/// By which the client wants to know what is said on the way.
fn token<'b>(request: &Request<'b>) -> Result<Option<&'b RawValue>, Refusal> {
    let Some(params) = request.raw_params().filter(|params| params.get() != "null") else { return Ok(None) };
    if !request::is_object(params) {
        return Err(Refusal::params("'params' must be an object"));
    }
    let params = serde_json::from_str::<Params<'_>>(params.get())
        .map_err(|fault| Refusal::params(format!("'params' cannot be read: {fault}")))?;
    let Some(meta) = params.meta else { return Ok(None) };
    if !request::is_object(meta) {
        return Err(Refusal::meta("'_meta' must be an object"));
    }
    let meta = serde_json::from_str::<Token<'_>>(meta.get());
    meta.map(|meta| meta.token).map_err(|fault| Refusal::meta(format!("'_meta' cannot be read: {fault}")))
}

fn refused(refusal: &Refusal, id: Option<&RawValue>) -> Wish {
    Wish::Answered(Reply::json(refusal.status(), refusal.message(id)))
}
