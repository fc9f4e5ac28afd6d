//! The sidecar's `POST /mcp`: the mesh as tools, for the official Rust SDK in both of its lifecycles and for requests that are
//! written by hand.

use mesh_tests::exchange::{self, Answer};
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::{PATIENCE, until};
use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

const ERAS: [Speech; 4] = [Speech::Current, Speech::Session, Speech::Handshake, Speech::Bare];

/// Sends a message of a client: one of the current revision, or one of an older one in a session.
pub(crate) async fn send(sidecar: &TestSidecar, is_current: bool, message: &Value) -> Answer {
    let name = message["params"]["name"].as_str().unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default();
    let current = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method), ("Mcp-Name", name)];
    let older = [("Mcp-Session-Id", "s-1")];
    let mut headers = vec![("Content-Type", "application/json"), ("Accept", "application/json")];
    headers.extend(if is_current { &current[..] } else { &older });
    let body = message.to_string();
    let answer = exchange::send(sidecar.address, "POST", "/mcp", &headers, body.as_bytes());
    timeout(PATIENCE, answer).await.expect("it ends").expect("the sidecar answers")
}

/// A request of either kind of client.
pub(crate) fn request(is_current: bool, method: &str, mut params: Value) -> Value {
    if is_current {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    json!({"jsonrpc": "2.0", "id": "q-1", "method": method, "params": params})
}

pub(crate) async fn ask(sidecar: &TestSidecar, is_current: bool, method: &str, params: Value) -> Value {
    send(sidecar, is_current, &request(is_current, method, params)).await.json()
}

pub(crate) async fn call(sidecar: &TestSidecar, is_current: bool, name: &str, arguments: Value) -> Value {
    ask(sidecar, is_current, "tools/call", json!({"name": name, "arguments": arguments})).await
}

/// The names of all tools, and on how many pages they stand.
pub(crate) async fn listed(sidecar: &TestSidecar) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut params) = (Vec::new(), 0, json!({}));
    loop {
        let page = ask(sidecar, true, "tools/list", params).await["result"].take();
        pages += 1;
        let tools = page["tools"].as_array().expect("a page of tools");
        names.extend(tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()));
        match page.get("nextCursor") {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return (names, pages),
        }
    }
}

/// What went wrong, in a result that a model can read.
pub(crate) fn trouble(answer: &Value) -> Value {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let text = answer["result"]["content"][0]["text"].as_str().expect("a text");
    serde_json::from_str(text).expect("the text is JSON")
}

#[tokio::test]
async fn an_official_client_lists_and_calls_agents_of_every_era_in_both_lifecycles() {
    let registry = TestRegistry::in_memory().await;
    let mut agents = Vec::new();
    for (i, speech) in ERAS.into_iter().enumerate() {
        let agent = ScriptedAgent::start(&format!("a{i}"), speech).await;
        let capability = json!({"name": format!("work_{i}"), "description": "Works.",
            "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "annotations": {"title": "Work", "readOnlyHint": true}});
        registry.offer(&format!("a{i}"), &agent.endpoint(), &capability, &json!({})).await;
        agents.push(agent);
    }
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    let current = ProtocolVersion::V_2026_07_28;
    for (lifecycle, revision) in [
        (ClientLifecycleMode::Initialize, ProtocolVersion::V_2025_11_25),
        (ClientLifecycleMode::Discover { preferred_versions: vec![current.clone()] }, current),
    ] {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{}/mcp", sidecar.address));
        let transport = StreamableHttpClientTransport::with_client(reqwest::Client::new(), config);
        let connecting = ClientConfig::default().serve_with_lifecycle(transport, lifecycle);
        let client = timeout(PATIENCE, connecting).await.expect("it ends").expect("it is an MCP server");
        assert_eq!(client.peer_info().expect("the server says who it is").protocol_version, revision);
        let tools = client.list_all_tools().await.expect("a list");
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, ["work_0", "work_1", "work_2", "work_3"]);
        assert_eq!(tools[0].title.as_deref(), Some("Work"));
        assert_eq!(tools[0].input_schema["properties"], json!({"n": {"type": "integer"}}));
        for (i, name) in ["work_0", "work_1", "work_2", "work_3"].into_iter().enumerate() {
            let arguments = json!({"n": i}).as_object().expect("an object").clone();
            let call = client.call_tool(CallToolRequestParams::new(name).with_arguments(arguments));
            let result = timeout(PATIENCE, call).await.expect("it ends").expect("a result");
            let said = result.structured_content.expect("what the agent said");
            assert_eq!(said, json!({"served_by": format!("a{i}"), "arguments": {"n": i}}));
        }
        client.cancel().await.expect("it ends");
    }
    assert!(agents.iter().all(|agent| agent.executed() == 2));
}

#[tokio::test]
async fn the_manifest_says_which_tools_there_are() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    for (id, capability, namespace) in
        [("a", "summarize", "prod"), ("b", "translate", "prod"), ("c", "translate", "test")]
    {
        let more = json!({"namespace": namespace});
        registry.offer(id, &agent.endpoint(), &json!({"name": capability}), &more).await;
    }
    let own = ScriptedAgent::start("own", Speech::Current).await;
    let manifest = |mesh: &str| {
        format!(
            "id: own\nnamespace: prod\nendpoint: {}\nhealth: {{interval: 200ms}}\ndependencies: [summarize]\n\
             capabilities: [{{name: own_work}}]\n{mesh}",
            own.endpoint()
        )
    };
    let one = TestSidecar::beside(&registry, &manifest("")).await;
    assert_eq!(listed(&one).await.0, ["summarize"]);
    assert!(call(&one, true, "summarize", json!({})).await["result"]["content"].is_array());
    for name in ["translate", "test__translate", "mesh__call_tool", ""] {
        assert_eq!(call(&one, true, name, json!({})).await["error"]["code"], -32602, "{name}");
    }
    let all = TestSidecar::beside(&registry, &manifest("mesh: all\n")).await;
    assert_eq!(listed(&all).await.0, ["summarize", "test__translate", "translate"]);
    let answer = call(&all, false, "test__translate", json!({"x": 1})).await;
    assert_eq!(answer["result"]["structuredContent"]["arguments"], json!({"x": 1}));
}

#[tokio::test]
async fn ten_thousand_tools_come_in_pages_and_any_of_them_can_be_found_and_called_when_only_some_are_listed()
{
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    for id in 0..10 {
        let capability =
            |n: usize| json!({"name": format!("tool_{id}_{n:03}"), "description": "One of many."});
        let capabilities: Vec<_> = (0..1_000).map(capability).collect();
        let document = json!({"id": format!("a{id}"), "endpoint": agent.endpoint(), "capabilities": capabilities,
            "health_interval": 600.0});
        assert_eq!(registry.post("/agents", &document).await.status, 200);
    }
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    // The first list of so many takes the registry a while.
    until("there is a list", async || {
        ask(&sidecar, true, "tools/list", json!({})).await.get("result").map(drop)
    })
    .await;
    let (names, pages) = listed(&sidecar).await;
    assert_eq!((names.len(), pages), (10_000, 20));
    assert!(names.is_sorted());

    let own = ScriptedAgent::start("own", Speech::Current).await;
    let manifest = format!(
        "id: own\nendpoint: {}\nhealth: {{interval: 200ms}}\ndependencies: [tool_3_777]\n\
         mesh: {{tools: all, max_tools: 100}}\n",
        own.endpoint()
    );
    let few = TestSidecar::beside(&registry, &manifest).await;
    until("there is a list", async || ask(&few, true, "tools/list", json!({})).await.get("result").map(drop))
        .await;
    assert_eq!(listed(&few).await.0, ["mesh__call_tool", "mesh__search_tools", "tool_3_777"]);
    let found = call(&few, true, "mesh__search_tools", json!({"query": "tool_7_123", "limit": 3})).await;
    let found = found["result"]["structuredContent"]["tools"].clone();
    assert_eq!(found[0]["name"], "tool_7_123", "{found}");
    assert!(found[0]["inputSchema"].is_object() && found.as_array().expect("a list").len() <= 3);
    let arguments = json!({"name": "tool_7_123", "arguments": {"n": 1}});
    let answer = call(&few, true, "mesh__call_tool", arguments).await;
    assert_eq!(answer["result"]["structuredContent"]["arguments"], json!({"n": 1}), "{answer}");
    assert!(call(&few, true, "tool_5_555", json!({})).await["result"]["content"].is_array());
    for arguments in [json!({}), json!({"name": "tool_99"}), json!({"name": "tool_7_123", "arguments": []})] {
        assert!(!trouble(&call(&few, true, "mesh__call_tool", arguments).await).is_null());
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_so_that_a_model_can_react() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    registry.offer("a", &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    for is_current in [true, false] {
        agent.next(&[Act::ToolError, Act::RpcError(-32602), Act::Babble]);
        assert_eq!(call(&sidecar, is_current, "work", json!({})).await["result"]["isError"], true);
        assert_eq!(call(&sidecar, is_current, "work", json!({})).await["error"]["code"], -32602);
        let failed = trouble(&call(&sidecar, is_current, "work", json!({})).await);
        assert_eq!((&failed["code"], &failed["retryable"]), (&json!("upstream_failed"), &json!(false)));
    }
    registry.post("/mcp/tools/unregister_agent", &json!({"agent_id": "a"})).await;
    // The tool stays on the list for a while, whoever had it may be about to come back.
    until("the call says that nobody is there", async || {
        let answer = call(&sidecar, true, "work", json!({})).await;
        (answer["result"]["isError"] == true && trouble(&answer)["code"] == "no_provider").then_some(())
    })
    .await;
    assert_eq!(listed(&sidecar).await.0, ["work"]);
}

#[tokio::test]
async fn parameters_that_stand_in_headers_are_checked_and_written_for_the_agent() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    let schema =
        json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let capability = json!({"name": "work", "input_schema": schema});
    registry.offer("a", &agent.endpoint(), &capability, &json!({})).await;
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(sidecar.call("work", &json!({"region": "eu"})).await.status, 200);
    assert_eq!(agent.header("mcp-param-region"), "eu");
    // A client of an older revision knows nothing of it, one of the current revision must name it.
    let older = call(&sidecar, false, "work", json!({"region": "us"})).await;
    assert!(older["result"]["content"].is_array(), "{older}");
    assert_eq!(agent.header("mcp-param-region"), "us");
    let params = json!({"name": "work", "arguments": {"region": "eu"}});
    let answer = send(&sidecar, true, &request(true, "tools/call", params)).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32020)));
}

/// The stream of the answer to `message`.
pub(crate) async fn open(sidecar: &TestSidecar, is_current: bool, message: &Value) -> reqwest::Response {
    let request = mesh_tests::http::client().post(format!("http://{}/mcp", sidecar.address));
    let request = request
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .body(message.to_string());
    let request = match is_current {
        true => request
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", message["method"].as_str().expect("a method"))
            .header("mcp-name", message["params"]["name"].as_str().unwrap_or_default()),
        false => request.header("mcp-session-id", "s-1"),
    };
    let response = timeout(PATIENCE, request.send()).await.expect("it begins").expect("the sidecar answers");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}
