//! The errand of `/proxy` and of an agent's endpoint: an HTTP request as it is, and the answer as it comes.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, LOCATION, ORIGIN};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use mesh_mcp::headers;
use mesh_mcp::tool_name::ToolName;

use crate::endpoint::Endpoint;
use crate::errand::{Errand, Fallen, Stamp};
use crate::error::AttemptError;
use crate::pool::Content;
use crate::replay::{BodyFault, Replay};
use crate::request::{Payload, Request};
use crate::speech::{away, busy, redirected};
use crate::wire::RequestHead;
use crate::{hop, passport};

/// Methods of MCP that change nothing: asking twice is as good as once (`Mcp-Method`, revision 2026-07-28).
const SAFE_MCP_METHODS: [&str; 10] = [
    "server/discover",
    "initialize",
    "ping",
    "tools/list",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
];

/// The method of MCP that calls a tool.
const CALL: &str = "tools/call";

/// An HTTP request to whoever offers a capability, or to one agent.
#[derive(Debug)]
pub struct PlainRequest {
    method: Method,
    /// Path and query at the provider; none for those of its endpoint.
    target: Option<Uri>,
    headers: HeaderMap,
    /// None when there is no body.
    body: Option<Replay>,
}

/// What an attempt to send `body` really failed for: what the caller broke, or did not send, is no fault of the peer.
pub fn blame(body: Option<&Replay>, fault: AttemptError) -> AttemptError {
    let Some(body) = body else { return fault };
    match (body.fault(), fault) {
        (Some(broken), _) => AttemptError::Body(broken),
        (None, AttemptError::TimedOut) if body.is_awaited() => AttemptError::Body(BodyFault::Late),
        (None, fault) => fault,
    }
}

// === impl PlainRequest ===

impl PlainRequest {
    /// Passes on `method` and `headers`, but for those that end here.
    pub fn new(method: Method, target: Uri, mut headers: HeaderMap, body: Option<Replay>) -> Self {
        hop::strip(&mut headers);
        Self { method, target: Some(target), headers, body }
    }

    /// The same to the endpoint of an agent. `Origin` ends here: who may call was decided, and what is an origin of this host
    /// would be a foreign one there.
    pub fn to_endpoint(method: Method, mut headers: HeaderMap, body: Option<Replay>) -> Self {
        hop::strip(&mut headers);
        headers.remove(ORIGIN);
        Self { method, target: None, headers, body }
    }

    /// Whether executing it twice is as good as once, by what HTTP and MCP say about its method.
    pub fn is_safe(method: &Method, given: &HeaderMap) -> bool {
        let mcp = given.get(headers::METHOD).and_then(|value| value.to_str().ok());
        match mcp {
            Some(mcp) => SAFE_MCP_METHODS.contains(&mcp),
            None => matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS),
        }
    }

    /// What the caller has not sent yet.
    pub fn take_rest(&self) -> Option<Incoming> {
        self.body.as_ref().and_then(Replay::take_rest)
    }

    fn request(&self, endpoint: &Endpoint, stamp: Stamp<'_>) -> Request {
        let address = endpoint.pool.address();
        let target = self.target.as_ref().unwrap_or(&address.path);
        let mut head = RequestHead::new(self.method.clone(), target);
        let passed_on = self.headers.iter().filter(|(name, _)| !passport::is_carried(name));
        passed_on.for_each(|(name, value)| head.add(name, value));
        head.add(&HOST, &address.authority);
        stamp.write(&mut head);
        let body = match &self.body {
            None => Payload::Whole(Bytes::new()),
            Some(body) => Payload::Streamed(body.begin()),
        };
        Request::new(head, body)
    }
}

impl Errand for PlainRequest {
    type Answer = Response<Content>;

    fn is_call_of(&self, name: &str) -> bool {
        let header = |header: &HeaderName| self.headers.get(header).and_then(headers::text);
        header(&headers::METHOD).as_deref() == Some(CALL) && header(&headers::NAME).as_deref() == Some(name)
    }

    fn can_race(&self) -> bool {
        self.body.is_none()
    }

    fn can_repeat(&self) -> bool {
        self.body.as_ref().is_none_or(Replay::can_repeat)
    }

    async fn attempt(
        &self,
        endpoint: &Arc<Endpoint>,
        _tool: &ToolName,
        stamp: Stamp<'_>,
    ) -> Result<Response<Content>, Fallen<Response<Content>>> {
        let sending = pin!(endpoint.pool.send(self.request(endpoint, stamp)));
        let outcome = stamp.in_time(sending).await;
        let mut response = outcome.map_err(|fault| blame(self.body.as_ref(), fault))?;
        let refused = response.headers().get(&passport::REFUSED).cloned();
        hop::strip(response.headers_mut());
        match response.status() {
            // Nothing was asked that another protocol or a later answer would belong to.
            status if status.is_informational() => {
                Err(AttemptError::Status { status, body: String::new() }.into())
            }
            // Where an endpoint has moved to is told in terms of its own host, and followed by nobody.
            status
                if self.target.is_none()
                    && status.is_redirection()
                    && response.headers().contains_key(LOCATION) =>
            {
                let body = format!("it is elsewhere, {}", redirected(response.headers()));
                Err(AttemptError::Status { status, body }.into())
            }
            // One agent has nobody who could take over: what it says goes back.
            StatusCode::TOO_MANY_REQUESTS if self.target.is_some() => {
                Err(Fallen { fault: busy(response.headers()), answer: Some(response) })
            }
            status if status.is_server_error() => {
                let fault = match refused {
                    Some(reason) => away(&reason),
                    None => AttemptError::Status { status, body: String::new() },
                };
                Err(Fallen { fault, answer: Some(response) })
            }
            _ => Ok(response),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_only_asks_is_safe_whatever_its_form() {
        let safe = |method: Method, mcp: Option<&'static str>| {
            let headers = mcp.map(|mcp| (headers::METHOD, HeaderValue::from_static(mcp)));
            PlainRequest::is_safe(&method, &headers.into_iter().collect())
        };
        assert!(safe(Method::GET, None) && safe(Method::HEAD, None) && safe(Method::OPTIONS, None));
        assert!(!safe(Method::POST, None) && !safe(Method::DELETE, None) && !safe(Method::PUT, None));
        assert!(safe(Method::POST, Some("tools/list")) && safe(Method::POST, Some("resources/read")));
        assert!(!safe(Method::POST, Some("tools/call")) && !safe(Method::GET, Some("tools/call")));
    }
}
