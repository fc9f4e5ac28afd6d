//! A table of tools that do next to nothing, and requests to a front over it.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use mesh_mcp::front::listing::{ListedTool, Listing};
use mesh_mcp::front::origins::Origins;
use mesh_mcp::front::tools::{Changes, Scope, Server, ToolAnswer, Tools, Unavailable, Wanted};
use mesh_mcp::front::{Front, Incoming};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

const SERVER: Server = Server {
    name: "table",
    title: "A table",
    version: "1.2.3",
    instructions: "Look, then call.",
    list_ttl: Duration::from_secs(60),
    list_scope: Scope::Public,
    announces: false,
};

/// The tools `echo`, which says what it was given, and `refuse`, and as many others as wanted.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    listing: Arc<Listing>,
    server: &'static Server,
    /// What it was asked to tell.
    pub(crate) told: Arc<Mutex<Vec<Changes>>>,
    /// Which requests were cancelled.
    pub(crate) cancelled: Arc<Mutex<Vec<String>>>,
}

impl Table {
    pub(crate) fn with(others: usize) -> Self {
        let others = (0..others).map(|i| format!("other-{i:05}"));
        let names = ["refuse", "echo", "größe"].map(str::to_owned).into_iter().chain(others);
        let entry = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
        let listed = names.map(|name| ListedTool { entry: to_raw_value(&entry(&name)).unwrap(), name });
        Self {
            listing: Arc::new(Listing::new(listed)),
            server: &SERVER,
            told: Arc::default(),
            cancelled: Arc::default(),
        }
    }

    /// One that announces changes.
    pub(crate) fn announcing() -> Self {
        static ANNOUNCING: Server = Server { announces: true, ..SERVER };
        Self { server: &ANNOUNCING, ..Self::with(0) }
    }
}

impl Tools for Table {
    async fn listing(&self) -> Result<Arc<Listing>, Unavailable> {
        Ok(Arc::clone(&self.listing))
    }

    fn session(&self) -> Option<HeaderValue> {
        self.server.announces.then(|| HeaderValue::from_static("s-1"))
    }

    fn cancel(&self, id: &RawValue) {
        self.cancelled.lock().unwrap().push(id.to_string());
    }

    async fn follow(&self, changes: Changes) {
        self.told.lock().unwrap().push(changes);
    }

    async fn call(&self, wanted: Wanted<'_>) -> Option<ToolAnswer> {
        let body = format!(r#"{{"said": {}}}"#, wanted.arguments.get()).into();
        match wanted.name {
            "echo" | "größe" => Some(ToolAnswer::Said { body, is_error: false }),
            "refuse" => Some(ToolAnswer::Said { body, is_error: true }),
            "garbled" => Some(ToolAnswer::Said { body: "{".into(), is_error: false }),
            _ => None,
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{fault}: {}", self.text))
    }

    /// The result of an answer that must be one.
    pub(crate) fn result(&self) -> Value {
        assert_eq!(
            (self.status, &self.headers["content-type"]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        let message = self.json();
        assert_eq!((&message["jsonrpc"], message.get("error")), (&json!("2.0"), None), "{message}");
        message["result"].clone()
    }

    /// Status and code of an answer that must be an error.
    pub(crate) fn refusal(&self) -> (u16, i64) {
        (
            self.status.as_u16(),
            self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("{}", self.text)),
        )
    }
}

/// A front over `table`.
pub(crate) fn front(table: &Table) -> Front<'_, Table> {
    static ORIGINS: LazyLock<Origins> = LazyLock::new(Origins::default);
    Front { server: table.server, origins: &ORIGINS, tools: table.clone() }
}

/// Sends a request as it stands.
pub(crate) async fn send(table: &Table, method: Method, headers: &[(&str, &str)], body: &str) -> Answer {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter().map(header) {
        map.append::<HeaderName>(name, value);
    }
    let reply = front(table).answer(Incoming { method: &method, headers: &map, body: body.as_bytes() }).await;
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    Answer { status: reply.status, headers: reply.headers, text }
}

/// Sends a message of an older client.
pub(crate) async fn older(message: &Value) -> Answer {
    send(&Table::with(0), Method::POST, &[], &message.to_string()).await
}

/// A request of an older client.
pub(crate) async fn ask_older(method: &str, params: Value) -> Answer {
    older(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).await
}

/// What a current client says about itself.
pub(crate) fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A request of a current client, with these headers beside the one that names the revision.
pub(crate) async fn ask_current(method: &str, params: Value, headers: &[(&str, &str)]) -> Answer {
    ask_current_at(&Table::with(0), method, params, headers).await
}

/// The same of `table`.
pub(crate) async fn ask_current_at(
    table: &Table,
    method: &str,
    mut params: Value,
    headers: &[(&str, &str)],
) -> Answer {
    if params.get("_meta").is_none() {
        params["_meta"] = meta();
    }
    let message = json!({"jsonrpc": "2.0", "id": "a-1", "method": method, "params": params});
    let headers = [&[("MCP-Protocol-Version", "2026-07-28")], headers].concat();
    send(table, Method::POST, &headers, &message.to_string()).await
}
