//! Writes the requests of a client, for every era.
//!
//! Calls of tools are many and differ in little, so what is the same for all of them at one server is written once, into a
//! [`Form`], and each call fills it in.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::beside::Beside;
use crate::headers;
use crate::param_header;
use crate::peer::Peer;
use crate::raw::RawJson;
use crate::tool_name::ToolName;
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
    pub tool: &'a ToolName,
    /// Its arguments, which pass through as they are.
    pub arguments: &'a RawJson,
    /// Whether the server should tell how far it is: a server that is not asked keeps silent until the end.
    pub wants_progress: bool,
    /// What else the client says, if the call is passed on for one.
    pub beside: Option<&'a Beside>,
}

/// A call of a tool at one server, but for what differs from call to call.
#[derive(Debug, Clone)]
pub struct Form {
    /// How the server wants to be spoken to.
    pub peer: Peer,
    /// Headers that every call has.
    pub headers: HeaderMap,
    /// The members of `_meta` that every call has, each with a comma behind it.
    meta: Vec<u8>,
    /// What stands behind the arguments of a call that has no other members.
    end: Vec<u8>,
}

/// The id of the requests that open a conversation.
pub const HANDSHAKE_ID: u64 = 1;
/// The method that calls a tool.
const CALL: &str = "tools/call";
/// Bytes that a call takes beside its name, its arguments and what is the same in every `_meta`; rather more.
const FRAME: usize = 192;

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
}

/// What every request of the current revision carries in its `_meta`.
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

/// Asks a server whether it is a current one.
pub fn discover(client: ClientInfo) -> Post {
    let params = DiscoverParams { _meta: Introduction::of(client) };
    post(&Peer::Current, Some(HANDSHAKE_ID), "server/discover", Some(params))
}

/// Opens the conversation with an older server.
pub fn initialize(client: ClientInfo) -> Post {
    let params = InitializeParams {
        protocol_version: version::NEWEST_WITH_HANDSHAKE,
        capabilities: Empty {},
        client_info: client,
    };
    post(&Peer::Bare, Some(HANDSHAKE_ID), "initialize", Some(params))
}

/// Tells an older server that the handshake is done.
pub fn initialized(peer: &Peer) -> Post {
    post(peer, None, "notifications/initialized", None::<Empty>)
}

/// What every request of the current revision says about its client: members of `_meta`, as JSON without the braces.
pub fn introduction(client: ClientInfo) -> Vec<u8> {
    let meta = json(&Introduction::of(client));
    meta.strip_prefix(b"{").and_then(|meta| meta.strip_suffix(b"}")).unwrap_or_default().to_vec()
}

/// Tells an older server that nobody waits for the answer to request `id` any more. A current one knows it from the end of
/// the connection.
pub fn cancelled(peer: &Peer, id: u64) -> Post {
    let params = CancelledParams { request_id: id, reason: "the caller went away" };
    post(peer, None, "notifications/cancelled", Some(params))
}

// === impl Form ===

impl Form {
    /// The form of calls at `peer`.
    pub fn of(peer: Peer, client: ClientInfo) -> Self {
        let meta = match peer {
            Peer::Current => [&introduction(client)[..], b","].concat(),
            Peer::Handshaken { .. } | Peer::Bare => Vec::new(),
        };
        let mut form = Self { headers: peer.headers(CALL), meta, end: Vec::new(), peer };
        let mut end = vec![b','];
        form.close(&mut end, None, None);
        form.end = end;
        form
    }

    /// The header that names the tool, where a server wants one.
    pub fn header<'t>(&self, tool: &'t ToolName) -> Option<(HeaderName, &'t HeaderValue)> {
        (self.peer == Peer::Current).then_some((headers::NAME, tool.header()))
    }

    /// Headers for parameters of the tool, where a server wants some.
    pub fn param_headers(&self, tool: &ToolName, arguments: &RawJson) -> Vec<(HeaderName, HeaderValue)> {
        match self.peer {
            Peer::Current if !tool.params().is_empty() => {
                param_header::write(tool.params(), arguments.as_bytes())
            }
            _ => Vec::new(),
        }
    }

    /// The body of one call.
    pub fn fill(&self, call: ToolCall<'_>) -> Bytes {
        let ToolCall { id, tool, arguments, wants_progress, beside } = call;
        let name = tool.json();
        let arguments = arguments.as_bytes();
        let more = beside.map_or(0, Beside::len);
        let mut body = Vec::with_capacity(FRAME + name.len() + arguments.len() + self.meta.len() + more);
        body.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        write(&mut body, &id);
        body.extend_from_slice(br#","method":"tools/call","params":{"#);
        body.extend_from_slice(beside.map_or(&[], Beside::params));
        body.extend_from_slice(br#""name":"#);
        body.extend_from_slice(name);
        body.extend_from_slice(br#","arguments":"#);
        body.extend_from_slice(arguments);
        if beside.is_none() && !wants_progress {
            body.extend_from_slice(&self.end);
        } else {
            body.push(b',');
            self.close(&mut body, beside, wants_progress.then_some(id));
        }
        body.into()
    }

    /// A request about the task of a call; `beside` holds its parameters.
    pub fn about_task(&self, id: u64, method: &str, task: &str, beside: &Beside) -> Post {
        let mut headers = self.peer.headers(method);
        if self.peer == Peer::Current {
            headers.insert(headers::NAME, headers::value(task));
        }
        let mut body = Vec::with_capacity(FRAME + self.meta.len() + beside.len());
        open(&mut body, id, method);
        body.extend_from_slice(beside.params());
        self.close(&mut body, Some(beside), None);
        Post { headers, body: body.into() }
    }

    /// A request of any other method; `params` are its parameters but for `_meta`.
    pub fn request(&self, id: u64, method: &str, params: &Map<String, Value>) -> Post {
        let mut body = Vec::with_capacity(FRAME + self.meta.len());
        open(&mut body, id, method);
        for (name, value) in params {
            write(&mut body, name.as_str());
            body.push(b':');
            write(&mut body, value);
            body.push(b',');
        }
        self.close(&mut body, None, None);
        Post { headers: self.peer.headers(method), body: body.into() }
    }

    /// Ends a request whose parameters have been written but for `_meta`, each with a comma behind it.
    fn close(&self, body: &mut Vec<u8>, beside: Option<&Beside>, progress_token: Option<u64>) {
        let before = body.len();
        body.extend_from_slice(br#""_meta":{"#);
        let begin = body.len();
        match beside.and_then(Beside::introduction).filter(|_| self.peer == Peer::Current) {
            Some(introduction) => body.extend_from_slice(introduction),
            None => body.extend_from_slice(&self.meta),
        }
        body.extend_from_slice(beside.map_or(&[], Beside::meta));
        if let Some(token) = progress_token {
            body.extend_from_slice(br#""progressToken":"#);
            write(body, &token);
            body.push(b',');
        }
        if body.len() == begin {
            body.truncate(before);
            drop_comma(body);
        } else {
            drop_comma(body);
            body.push(b'}');
        }
        body.extend_from_slice(b"}}");
    }
}

/// Nothing comes after the last member.
fn drop_comma(body: &mut Vec<u8>) {
    if body.last() == Some(&b',') {
        body.pop();
    }
}

/// Begins a request, up to the first of its parameters.
fn open(body: &mut Vec<u8>, id: u64, method: &str) {
    body.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    write(body, &id);
    body.extend_from_slice(br#","method":"#);
    write(body, method);
    body.extend_from_slice(br#","params":{"#);
}

impl Introduction {
    fn of(client: ClientInfo) -> Self {
        Self { version: version::CURRENT, capabilities: Empty {}, client }
    }
}

fn post<P: Serialize>(peer: &Peer, id: Option<u64>, method: &str, params: Option<P>) -> Post {
    let body = json(&Request { jsonrpc: "2.0", id, method, params });
    Post { headers: peer.headers(method), body: body.into() }
}

/// Serialising strings, numbers and raw JSON into memory has no way to fail.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// The same, at the end of `body`.
fn write(body: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let _ = serde_json::to_writer(body, value);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const US: ClientInfo = ClientInfo { name: "mesh-sidecar", version: "1" };

    fn tool_call(peer: &Peer) -> (HeaderMap, String) {
        let arguments = RawJson::read(&Bytes::from_static(br#"{"b": 1e2,  "a": []}"#)).unwrap();
        let tool = ToolName::new("process_data");
        let call =
            ToolCall { id: 7, tool: &tool, arguments: &arguments, wants_progress: false, beside: None };
        let form = Form::of(peer.clone(), US);
        let mut headers = form.headers.clone();
        headers.extend(form.header(&tool).map(|(name, value)| (name, value.clone())));
        (headers, String::from_utf8(form.fill(call).to_vec()).unwrap())
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
        let arguments = RawJson::read(&Bytes::from_static(b"{}")).unwrap();
        for peer in [Peer::Current, Peer::Bare] {
            let tool = ToolName::new("work");
            let call =
                ToolCall { id: 7, tool: &tool, arguments: &arguments, wants_progress: true, beside: None };
            let body: Value = serde_json::from_slice(&Form::of(peer.clone(), US).fill(call)).unwrap();
            assert_eq!((&body["id"], &body["params"]["_meta"]["progressToken"]), (&json!(7), &json!(7)));
            assert_eq!(body["params"]["_meta"].as_object().unwrap().len() > 1, peer == Peer::Current);
        }
    }

    #[test]
    fn names_of_any_kind_are_written_as_json() {
        let arguments = RawJson::read(&Bytes::from_static(b"{}")).unwrap();
        for name in ["", "a \"quoted\" name", "größe\n"] {
            let tool = ToolName::new(name);
            let call = ToolCall {
                id: u64::MAX,
                tool: &tool,
                arguments: &arguments,
                wants_progress: true,
                beside: None,
            };
            let body: Value = serde_json::from_slice(&Form::of(Peer::Bare, US).fill(call)).unwrap();
            assert_eq!((&body["params"]["name"], &body["id"]), (&json!(name), &json!(u64::MAX)));
        }
    }

    #[test]
    fn a_request_about_a_task_names_it_in_the_header_too() {
        let params = r#"{"taskId": "sealed", "inputResponses": {"a": 1}}"#;
        let beside = Beside::read(&serde_json::from_str(params).unwrap(), true, Some(("taskId", "t 1")));
        let post = Form::of(Peer::Current, US).about_task(9, "tasks/update", "t 1", &beside);
        assert_eq!(
            (&post.headers[headers::METHOD], &post.headers[headers::NAME]),
            (&HeaderValue::from_static("tasks/update"), &HeaderValue::from_static("t 1"))
        );
        let body: Value = serde_json::from_slice(&post.body).unwrap();
        assert_eq!(
            (&body["id"], &body["params"]["taskId"], &body["params"]["inputResponses"]["a"]),
            (&json!(9), &json!("t 1"), &json!(1))
        );
        let none = Beside::read(&serde_json::from_str("{}").unwrap(), false, None);
        let post = Form::of(Peer::Bare, US).about_task(9, "tasks/get", "t", &none);
        let body: Value = serde_json::from_slice(&post.body).unwrap();
        assert_eq!(body, json!({"jsonrpc": "2.0", "id": 9, "method": "tasks/get", "params": {}}));
    }

    #[test]
    fn what_a_client_says_beside_reaches_the_server_that_understands_it() {
        let params = r#"{"name": "x", "new": 1, "_meta": {"a/b": [],
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}}"#;
        let beside = Beside::read(&serde_json::from_str(params).unwrap(), true, None);
        let arguments = RawJson::read(&Bytes::from_static(b"{}")).unwrap();
        let tool = ToolName::new("work");
        let params = |peer: Peer| {
            let beside = Some(&beside);
            let call = ToolCall { id: 7, tool: &tool, arguments: &arguments, wants_progress: true, beside };
            serde_json::from_slice::<Value>(&Form::of(peer, US).fill(call)).unwrap()["params"].clone()
        };
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}, "a/b": [], "progressToken": 7});
        assert_eq!(params(Peer::Current), json!({"new": 1, "name": "work", "arguments": {}, "_meta": meta}));
        assert_eq!(params(Peer::Bare)["_meta"], json!({"a/b": [], "progressToken": 7}));
    }

    #[test]
    fn any_other_request_has_its_parameters_and_introduces_us_to_a_current_server() {
        let params = json!({"cursor": "c"}).as_object().cloned().unwrap();
        let post = Form::of(Peer::Current, US).request(9, "tools/list", &params);
        let body: Value = serde_json::from_slice(&post.body).unwrap();
        assert_eq!((&body["id"], &body["params"]["cursor"]), (&json!(9), &json!("c")));
        assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(post.headers[headers::METHOD], "tools/list");
        let body = Form::of(Peer::Bare, US).request(9, "tools/list", &Map::new()).body;
        assert_eq!(body, r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{}}"#);
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
