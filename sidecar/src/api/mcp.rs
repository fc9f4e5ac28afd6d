//! `POST /mcp`: the mesh as an MCP server, for clients of every era. Its tools are what our agent may call, and a call of one
//! takes the way of every call.
//!
//! A client of the current revision that goes away cancels its call; one of an older revision may also say so in a request of
//! its own, so its calls are known by session and id for as long as they take. Nothing else is remembered.

mod offered;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use mesh_mcp::front::origins::Origins;
use mesh_mcp::front::reply::Reply;
use mesh_mcp::front::tools::{Scope, Server};
use mesh_mcp::front::{self, Front};
use tokio::sync::mpsc;

use self::offered::Offered;
use super::body::ReplyBody;
use super::events::{self, Begun, Ending, Events, begin};
use super::reply;
use super::state::State;
use crate::error::CallError;
use crate::passport::Passport;
use crate::told::takes_streams;

/// The path of the endpoint.
pub const PATH: &str = "/mcp";

const SERVER: Server = Server {
    name: "mesh-sidecar",
    title: "MCP Mesh",
    version: env!("CARGO_PKG_VERSION"),
    instructions: "The tools of all agents of a mesh. Each stands for a capability that one or more agents offer; a call goes \
                   to one that is healthy. A result with isError says what went wrong and whether to try again. When \
                   mesh__search_tools is listed there are more tools than are listed: search for what you need.",
    list_ttl: Duration::from_secs(10),
    list_scope: Scope::Private,
    announces: true,
};

/// What a client may want: to open a stream on which it is told of changes, or an answer.
struct Asked {
    head: Parts,
    body: Bytes,
    passport: Passport,
}

/// Serves one request of a client.
pub async fn serve(state: &Arc<State>, request: Request<Incoming>) -> Response<ReplyBody> {
    let only_listens = request.method() == Method::GET;
    let wants_events = only_listens || takes_streams(request.headers());
    let asked = match read(state, request).await {
        Ok(asked) => asked,
        Err(error) => return reply::refused(state, error),
    };
    if !wants_events {
        return whole(answer(state, asked, None).await);
    }
    let (tell, notes) = mpsc::channel(events::NOTES);
    let answering = Arc::clone(state);
    let calling = Box::pin(async move { answer(&answering, asked, Some(tell)).await });
    let silence = state.pace.keep_alive;
    // Whoever only listens is told at once that somebody is there.
    match begin(calling, notes, if only_listens { Duration::ZERO } else { silence }).await {
        Begun::Ended(reply) => whole(reply),
        Begun::GoesOn { calling, notes, first } => {
            let calling = Box::pin(async move { Ending { event: "message", data: calling.await.body } });
            reply::events(Events::new(calling, notes, first, silence))
        }
    }
}

async fn read(state: &State, request: Request<Incoming>) -> Result<Asked, CallError> {
    let (head, body) = request.into_parts();
    let passport = Passport::read(&head.headers, state.caller.as_ref())?;
    let body = if head.method == Method::POST { state.read(body).await? } else { Bytes::new() };
    Ok(Asked { head, body, passport })
}

/// Answers; what happens on the way is told to `tell`.
async fn answer(state: &Arc<State>, asked: Asked, tell: Option<mpsc::Sender<Bytes>>) -> Reply {
    let Asked { head: Parts { method, headers, .. }, body, passport } = asked;
    let tools = Offered { state, headers: &headers, passport: &passport, tell };
    let front = Front { server: &SERVER, origins: &Origins::default(), tools };
    front.answer(front::Incoming { method: &method, headers: &headers, body: &body }).await
}

fn whole(reply: Reply) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Whole(Some(reply.body)));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}
