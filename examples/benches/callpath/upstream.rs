//! The agent at the end of every way: takes any call, always gives the same answer, and costs next to nothing.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use tokio::runtime::Builder;

use crate::serve::{Answered, serve};

/// The job under whose name this program is the upstream.
pub(crate) const JOB: &str = "upstream";
/// Where it takes MCP.
pub(crate) const PATH: &str = "/mcp";
/// The answer to a GET.
const TEXT: &str = "an agent that always says the same";
/// Which MCP method is called; clients of the current revision send it with every request.
const MCP_METHOD: &str = "mcp-method";
const DISCOVER: &str = "server/discover";
/// That it speaks the current revision, so that calls come without a session.
const DISCOVERED: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}}"#;

/// A macro, so that the answer can be put together from it when this is compiled.
macro_rules! result {
    () => {
        r#"{"content":[{"type":"text","text":"Three agents met on a mesh and found each other by what they can do."}],"isError":false,"structuredContent":{"sentences":1,"words":15}}"#
    };
}

/// The result of every call.
pub(crate) const RESULT: &str = result!();
/// The answer to every call: the result in its JSON-RPC envelope.
pub(crate) const ANSWER: &str = concat!(r#"{"jsonrpc":"2.0","id":1,"result":"#, result!(), "}");

/// Serves for ever. On one thread: what it takes is taken from those that are measured.
pub(crate) fn main() -> anyhow::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(serve(service_fn(answer)))
}

async fn answer(request: Request<Incoming>) -> Answered<Full<Bytes>> {
    let (head, body) = request.into_parts();
    // A body that breaks off ends the connection, and the answer with it.
    let _ = body.collect().await;
    let is_discovery = head.headers.get(MCP_METHOD).is_some_and(|method| method == DISCOVER);
    let (content_type, text) = match head.method {
        Method::GET => ("text/plain", TEXT),
        _ if is_discovery => ("application/json", DISCOVERED),
        _ => ("application/json", ANSWER),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}
