//! `ANY /agents/{id}/mcp`: the whole MCP protocol to one agent, byte for byte.
//!
//! Sessions, streams, resources, prompts, what a server asks its client and what nobody has thought of yet: nothing of it is
//! understood here, so nothing of it is lost. There is one agent and no choice, and what was sent once is never sent again.
//! The query belongs to us, as that of `/call`, because a client of MCP is given a URL and nothing else.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use mesh_mcp::headers;

use super::body::ReplyBody;
use super::state::State;
use super::{proxy, reply};
use crate::course::Call;
use crate::error::CallError;
use crate::passport::Passport;
use crate::patience::{Limits, Pace};
use crate::plain::PlainRequest;
use crate::target::agent_of;

/// The method of MCP whose answer is a stream that tells of changes (revision 2026-07-28).
const LISTEN: &[u8] = b"subscriptions/listen";

/// Passes one request on.
pub async fn serve(state: &Arc<State>, request: Request<Incoming>) -> Response<ReplyBody> {
    let pace = pace(state.pace, request.method(), request.headers());
    match read(state, request, pace) {
        Ok((call, errand)) => proxy::pass(state, &call, &errand, pace, |_| {}).await,
        Err(error) => reply::refused(state, error),
    }
}

fn read(state: &State, request: Request<Incoming>, pace: Pace) -> Result<(Call, PlainRequest), CallError> {
    let (head, body) = request.into_parts();
    let id = agent_of(head.uri.path()).unwrap_or_default();
    let target = state.targets.endpoint(id, head.uri.query().unwrap_or_default())?;
    let mut passport = Passport::read(&head.headers, state.caller.as_ref())?;
    // Whether an agent is silent before the head of its answer or behind it depends on its SDK and means nothing.
    passport.allow(pace.limits.idle);
    let pinned = head.headers.contains_key(headers::SESSION_ID).then(|| id.to_owned());
    let errand = PlainRequest::to_endpoint(head.method, head.headers, proxy::read_body(state, body)?);
    Ok((Call { target, passport, pinned, is_safe_to_repeat: false }, errand))
}

/// A stream on which a server speaks when something happens may be silent for as long as nothing does.
fn pace(usual: Pace, method: &Method, given: &HeaderMap) -> Pace {
    let listens = given.get(headers::METHOD).is_some_and(|method| method.as_bytes() == LISTEN);
    if *method != Method::GET && !listens {
        return usual;
    }
    Pace { limits: Limits { idle: usual.limits.longest, ..usual.limits }, ..usual }
}
