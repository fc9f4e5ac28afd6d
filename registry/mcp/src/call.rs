//! Writes the requests of a client, for every era.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::headers;
use crate::peer::Peer;
use crate::version;

/// An HTTP POST to an MCP endpoint, but for the address.
#[derive(Debug, Clone)]
pub struct Post {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Who we are, for the server's logs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ClientInfo {
    /// Name of the program.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// A call of a tool.
#[derive(Debug, Clone, Copy)]
pub struct ToolCall<'a> {
    /// The id of the request. Older servers keep the calls of one session apart by it, so no two of those that are in
    /// flight at one server may have the same; [`HANDSHAKE_ID`] is taken.
    pub id: u64,
    /// The tool.
    pub name: &'a str,
    /// Its arguments, which pass through as they are.
    pub arguments: &'a RawValue,
    /// Whether the server should tell how far it is: a server that is not asked keeps silent until the end.
    pub wants_progress: bool,
}

/// The id of the requests that open a conversation.
pub const HANDSHAKE_ID: u64 = 1;

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
}

/// The `_meta` of a request: what every request of the current revision carries, and the wish for progress.
#[derive(Serialize)]
struct Meta {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    current: Option<Introduction>,
    #[serde(rename = "progressToken", skip_serializing_if = "Option::is_none")]
    progress_token: Option<u64>,
}

#[derive(Serialize)]
struct Introduction {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: &'static str,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Empty,
    #[serde(rename = "io.modelcontextprotocol/clientInfo")]
    client: ClientInfo,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct DiscoverParams {
    _meta: Introduction,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelledParams {
    request_id: u64,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitializeParams {
    protocol_version: &'static str,
    capabilities: Empty,
    client_info: ClientInfo,
}

#[derive(Serialize)]
struct ToolCallParams<'a> {
    name: &'a str,
    arguments: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    _meta: Option<Meta>,
}

/// Asks a server whether it is a current one.
pub fn discover(client: ClientInfo) -> Post {
    let params = DiscoverParams { _meta: Introduction::of(client) };
    post(&Peer::Current, Some(HANDSHAKE_ID), "server/discover", None, Some(params))
}

/// Opens the conversation with an older server.
pub fn initialize(client: ClientInfo) -> Post {
    let params = InitializeParams {
        protocol_version: version::NEWEST_WITH_HANDSHAKE,
        capabilities: Empty {},
        client_info: client,
    };
    post(&Peer::Bare, Some(HANDSHAKE_ID), "initialize", None, Some(params))
}

/// Tells an older server that the handshake is done.
pub fn initialized(peer: &Peer) -> Post {
    post(peer, None, "notifications/initialized", None, None::<Empty>)
}

/// Tells an older server that nobody waits for the answer to request `id` any more. A current one knows it from the end of
/// the connection.
pub fn cancelled(peer: &Peer, id: u64) -> Post {
    let params = CancelledParams { request_id: id, reason: "the caller went away" };
    post(peer, None, "notifications/cancelled", None, Some(params))
}

/// Calls a tool.
pub fn tool(peer: &Peer, client: ClientInfo, call: ToolCall<'_>) -> Post {
    let ToolCall { id, name, arguments, wants_progress } = call;
    let current = matches!(peer, Peer::Current).then(|| Introduction::of(client));
    let meta = Meta { current, progress_token: wants_progress.then_some(id) };
    let _meta = Some(meta).filter(|meta| meta.current.is_some() || meta.progress_token.is_some());
    post(peer, Some(id), "tools/call", Some(name), Some(ToolCallParams { name, arguments, _meta }))
}

impl Introduction {
    fn of(client: ClientInfo) -> Self {
        Self { version: version::CURRENT, capabilities: Empty {}, client }
    }
}

fn post<P: Serialize>(
    peer: &Peer,
    id: Option<u64>,
    method: &str,
    name: Option<&str>,
    params: Option<P>,
) -> Post {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(headers::JSON));
    headers.insert(ACCEPT, headers::ACCEPT_BOTH);
    match peer {
        Peer::Current => {
            headers.insert(headers::PROTOCOL_VERSION, HeaderValue::from_static(version::CURRENT));
            headers.insert(headers::METHOD, headers::value(method));
            headers.extend(name.map(|name| (headers::NAME, headers::value(name))));
        }
        Peer::Handshaken { revision, session } => {
            if version::has_version_header(revision) {
                headers.insert(headers::PROTOCOL_VERSION, headers::value(revision));
            }
            headers.extend(session.clone().map(|session| (headers::SESSION_ID, session)));
        }
        Peer::Bare => {}
    }
    let request = Request { jsonrpc: "2.0", id, method, params };
    // Serialising strings, numbers and raw JSON into memory has no way to fail.
    let body = serde_json::to_vec(&request).unwrap_or_default();
    Post { headers, body: body.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const US: ClientInfo = ClientInfo { name: "mesh-sidecar", version: "1" };

    fn tool_call(peer: &Peer) -> (HeaderMap, String) {
        let arguments = RawValue::from_string(r#"{"b": 1e2,  "a": []}"#.to_owned()).unwrap();
        let call = ToolCall { id: 7, name: "process_data", arguments: &arguments, wants_progress: false };
        let post = tool(peer, US, call);
        (post.headers, String::from_utf8(post.body.to_vec()).unwrap())
    }

    #[test]
    fn a_current_server_gets_routing_headers_and_meta() {
        let (headers, body) = tool_call(&Peer::Current);
        assert_eq!(headers[headers::PROTOCOL_VERSION], "2026-07-28");
        assert_eq!(
            (&headers[headers::METHOD], &headers[headers::NAME]),
            (&"tools/call".parse().unwrap(), &"process_data".parse().unwrap())
        );
        let body_value: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body_value["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({}));
        assert!(body.contains(r#""arguments":{"b": 1e2,  "a": []}"#), "{body}");
    }

    #[test]
    fn an_older_server_gets_its_session_and_revision() {
        let session = Some(HeaderValue::from_static("s1"));
        let (headers, body) =
            tool_call(&Peer::Handshaken { revision: "2025-06-18".into(), session: session.clone() });
        assert_eq!(
            (&headers[headers::SESSION_ID], headers.contains_key(headers::METHOD)),
            (&"s1".parse::<HeaderValue>().unwrap(), false)
        );
        assert!(!body.contains("_meta"));
        let (headers, _) = tool_call(&Peer::Handshaken { revision: "2025-03-26".into(), session });
        assert!(!headers.contains_key(headers::PROTOCOL_VERSION));
    }

    #[test]
    fn progress_is_asked_for_by_the_id_of_the_call_in_every_era() {
        let arguments = RawValue::from_string("{}".to_owned()).unwrap();
        for peer in [Peer::Current, Peer::Bare] {
            let call = ToolCall { id: 7, name: "work", arguments: &arguments, wants_progress: true };
            let body: Value = serde_json::from_slice(&tool(&peer, US, call).body).unwrap();
            assert_eq!((&body["id"], &body["params"]["_meta"]["progressToken"]), (&json!(7), &json!(7)));
            assert_eq!(body["params"]["_meta"].as_object().unwrap().len() > 1, peer == Peer::Current);
        }
    }

    #[test]
    fn a_cancelled_call_is_named_by_its_id() {
        let body: Value = serde_json::from_slice(&cancelled(&Peer::Bare, 7).body).unwrap();
        assert_eq!(body["method"], "notifications/cancelled");
        assert_eq!((&body["params"]["requestId"], body.get("id")), (&json!(7), None));
    }

    #[test]
    fn a_notification_has_no_id_and_a_bare_call_no_mcp_headers() {
        let note: Value = serde_json::from_slice(&initialized(&Peer::Bare).body).unwrap();
        assert_eq!(note, json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert!(tool_call(&Peer::Bare).0.keys().all(|name| !name.as_str().starts_with("mcp-")));
    }
}
