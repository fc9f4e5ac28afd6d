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

/// The id of our requests. Each stands alone in its HTTP exchange, so one id serves all.
const ID: u32 = 1;

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
}

/// The `_meta` that every request of the current revision carries.
#[derive(Serialize)]
struct Meta {
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
    _meta: Meta,
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
    let params = DiscoverParams { _meta: Meta::of(client) };
    post(&Peer::Current, Some(ID), "server/discover", None, Some(params))
}

/// Opens the conversation with an older server.
pub fn initialize(client: ClientInfo) -> Post {
    let params = InitializeParams {
        protocol_version: version::NEWEST_WITH_HANDSHAKE,
        capabilities: Empty {},
        client_info: client,
    };
    post(&Peer::Bare, Some(ID), "initialize", None, Some(params))
}

/// Tells an older server that the handshake is done.
pub fn initialized(peer: &Peer) -> Post {
    post(peer, None, "notifications/initialized", None, None::<Empty>)
}

/// Calls the tool `name`. The arguments pass through as they are.
pub fn tool(peer: &Peer, client: ClientInfo, name: &str, arguments: &RawValue) -> Post {
    let meta = matches!(peer, Peer::Current).then(|| Meta::of(client));
    post(peer, Some(ID), "tools/call", Some(name), Some(ToolCallParams { name, arguments, _meta: meta }))
}

impl Meta {
    fn of(client: ClientInfo) -> Self {
        Self { version: version::CURRENT, capabilities: Empty {}, client }
    }
}

fn post<P: Serialize>(
    peer: &Peer,
    id: Option<u32>,
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
        let post = tool(peer, US, "process_data", &arguments);
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
    fn a_notification_has_no_id_and_a_bare_call_no_mcp_headers() {
        let note: Value = serde_json::from_slice(&initialized(&Peer::Bare).body).unwrap();
        assert_eq!(note, json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert!(tool_call(&Peer::Bare).0.keys().all(|name| !name.as_str().starts_with("mcp-")));
    }
}
