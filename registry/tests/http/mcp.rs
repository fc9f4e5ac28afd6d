//! The registry as an MCP server: its tools do what its routes do, and say so to every kind of client.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{Answer, TestRegistry};

const TOOLS: [&str; 6] = [
    "discover_services",
    "get_agent_status",
    "heartbeat",
    "list_capabilities",
    "register_agent",
    "unregister_agent",
];

/// Asks as a client without a handshake does, and returns the whole message.
async fn ask(registry: &TestRegistry, method: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    registry.post("/mcp", &message).await.ok()
}

async fn call(registry: &TestRegistry, tool: &str, arguments: Value) -> Value {
    ask(registry, "tools/call", json!({"name": tool, "arguments": arguments})).await["result"].clone()
}

/// The structured content of a call that must succeed, which its text repeats.
async fn called(registry: &TestRegistry, tool: &str, arguments: Value) -> Value {
    let result = call(registry, tool, arguments).await;
    assert_eq!(result["isError"], false, "{result}");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), result["structuredContent"]);
    result["structuredContent"].clone()
}

/// The error body that a failed call carries.
async fn failed(registry: &TestRegistry, tool: &str, arguments: Value) -> Value {
    let result = call(registry, tool, arguments).await;
    assert_eq!((&result["isError"], result.get("structuredContent")), (&json!(true), None), "{result}");
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

/// Without the moments at which answers were made.
fn timeless(mut answer: Value) -> Value {
    for moment in ["timestamp", "time_since_heartbeat", "message"] {
        answer.as_object_mut().unwrap().remove(moment);
    }
    answer
}

#[tokio::test]
async fn every_tool_is_listed_with_its_schemas() {
    let registry = TestRegistry::start().await;
    let tools = ask(&registry, "tools/list", json!({})).await["result"]["tools"].clone();
    let tools = tools.as_array().unwrap();
    assert_eq!(tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect::<Vec<_>>(), TOOLS);
    for tool in tools {
        assert!(
            tool["inputSchema"]["type"] == "object" && tool["outputSchema"]["type"] == "object",
            "{tool}"
        );
        let required = tool["inputSchema"].get("required").cloned().unwrap_or(json!([]));
        let expected = match tool["name"].as_str().unwrap() {
            "register_agent" => json!(["registration_data"]),
            "discover_services" | "list_capabilities" => json!([]),
            _ => json!(["agent_id"]),
        };
        assert_eq!(required, expected, "{tool}");
    }
    let limit = &tools[0]["inputSchema"]["properties"]["limit"];
    assert_eq!((&limit["default"], &limit["maximum"]), (&json!(100), &json!(500)));
}

#[tokio::test]
async fn the_life_of_an_agent_can_be_led_through_tools() {
    let registry = TestRegistry::start().await;
    let document = json!({"id": "a", "endpoint": "http://h:1/mcp", "capabilities": [{"name": "work"}]});
    let registered = called(&registry, "register_agent", json!({"registration_data": document})).await;
    assert_eq!((&registered["status"], &registered["agent_id"]), (&json!("success"), &json!("a")));
    let heard = called(&registry, "heartbeat", json!({"agent_id": "a"})).await;
    assert_eq!(heard["next_heartbeat_in"], 30.0);
    assert_eq!(called(&registry, "get_agent_status", json!({"agent_id": "a"})).await["status"], "healthy");
    let found = called(&registry, "list_capabilities", json!({"name": "work"})).await;
    assert_eq!(found["capabilities"][0]["agent_id"], "a");
    assert_eq!(called(&registry, "unregister_agent", json!({"agent_id": "a"})).await["agent_id"], "a");
    registry.get("/agents/a").await.error(404, "agent_not_found");
}

#[tokio::test]
async fn a_tool_answers_what_its_routes_answer() {
    let registry = TestRegistry::start().await;
    for id in ["a", "b"] {
        registry
            .register(id, json!({"capabilities": [{"name": "work", "tags": ["x"]}], "labels": {"l": id}}))
            .await;
        registry.beat(id).await;
    }
    for (tool, arguments, route) in [
        ("discover_services", json!({}), "/agents"),
        (
            "discover_services",
            json!({"label_selector": "l=a", "status": ["healthy"]}),
            "/agents?label_selector=l%3Da",
        ),
        ("list_capabilities", json!({"tags": ["x"]}), "/capabilities?tags=x"),
        ("get_agent_status", json!({"agent_id": "b"}), "/health/b"),
    ] {
        let by_mcp = timeless(called(&registry, tool, arguments.clone()).await);
        assert_eq!(by_mcp, timeless(registry.get(route).await.ok()), "{tool} and {route}");
        let by_tool_route = registry.post(&format!("/mcp/tools/{tool}"), &arguments).await.ok();
        assert_eq!(by_mcp, timeless(by_tool_route), "{tool}");
    }
}

#[tokio::test]
async fn faults_are_results_that_carry_the_error_body_of_the_route() {
    let registry = TestRegistry::start().await;
    for (tool, arguments, code) in [
        ("register_agent", json!({"registration_data": {"name": "x"}}), "validation_failed"),
        ("register_agent", json!({}), "validation_failed"),
        ("heartbeat", json!({"agent_id": "ghost"}), "agent_not_found"),
        ("get_agent_status", json!({"agent_id": "ghost"}), "agent_not_found"),
        ("unregister_agent", json!({"agent_id": "a b"}), "validation_failed"),
        ("discover_services", json!({"namspace": "x"}), "validation_failed"),
        ("list_capabilities", json!({"continue": "garbage"}), "validation_failed"),
        ("discover_services", json!({"watch": true}), "validation_failed"),
        ("discover_services", json!({"min_resource_version": 99}), "validation_failed"),
        ("list_capabilities", json!({"min_resource_version": 0}), "validation_failed"),
    ] {
        let by_mcp = failed(&registry, tool, arguments.clone()).await;
        assert_eq!(by_mcp["code"], code, "{tool} {arguments}");
        let by_route = registry.post(&format!("/mcp/tools/{tool}"), &arguments).await;
        assert_eq!(by_mcp, by_route.json(), "{tool} {arguments}");
    }
    let waiting = failed(&registry, "discover_services", json!({"min_resource_version": 1})).await;
    assert_eq!(waiting["faults"][0]["path"], "min_resource_version", "{waiting}");
    let deep = format!(r#"{{"registration_data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"register_agent","arguments":ARGS}}"#;
    let body = Body::from(message.replace("ARGS", &deep));
    let answer = registry.send(Request::post("/mcp").body(body).unwrap()).await.ok();
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("recursion limit"), "{answer}");
    let unknown = ask(&registry, "tools/call", json!({"name": "register", "arguments": {}})).await;
    assert_eq!(unknown["error"]["code"], -32602);
}

#[tokio::test]
async fn models_get_pages_and_programs_get_whole_lists() {
    let registry = TestRegistry::start().await;
    for i in 0..120 {
        registry.register(&format!("agent-{i:03}"), json!({"capabilities": [{"name": "work"}]})).await;
    }
    for (tool, rows, any) in [
        ("discover_services", "agents", json!({})),
        ("list_capabilities", "capabilities", json!({"agent_status": ["any"]})),
    ] {
        let first = called(&registry, tool, any.clone()).await;
        assert_eq!((&first["count"], &first["total"]), (&json!(100), &json!(120)), "{tool}");
        let mut rest = any.clone();
        rest["continue"] = first["continue"].clone();
        let rest = called(&registry, tool, rest).await;
        assert_eq!((&rest["count"], rest.get("continue")), (&json!(20), None), "{tool}");
        assert_eq!(rest[rows].as_array().unwrap().len(), 20);
        let whole = registry.post(&format!("/mcp/tools/{tool}"), &any).await.ok();
        assert_eq!(whole["count"], 120, "{tool}");
        let fault = failed(&registry, tool, json!({"limit": 501})).await;
        assert_eq!(fault["faults"][0]["path"], "limit", "{fault}");
    }
}

#[tokio::test]
async fn a_current_client_is_served_and_held_to_the_rules_of_its_revision() {
    let registry = TestRegistry::start().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "discover_services", "arguments": {}, "_meta": meta});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let send = async |name: &str| -> Answer {
        let request = Request::post("/mcp/").header("content-type", "application/json");
        let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
        let request = request.header("mcp-name", name).body(Body::from(message.to_string())).unwrap();
        registry.send(request).await
    };
    let result = send("discover_services").await.ok()["result"].clone();
    assert_eq!(
        (&result["resultType"], &result["structuredContent"]["total"]),
        (&json!("complete"), &json!(0))
    );
    let refused = send("heartbeat").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (400, &json!(-32020)));
}

#[tokio::test]
async fn other_methods_sites_and_types_are_refused() {
    let registry = TestRegistry::start().await;
    for target in ["/mcp", "/mcp/"] {
        for answer in [registry.get(target).await, registry.delete(target).await] {
            assert_eq!((answer.status.as_u16(), &answer.headers["allow"]), (405, &"POST".parse().unwrap()));
        }
    }
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for (name, value, status) in [
        ("origin", "http://evil.example.com", 403),
        ("origin", "http://localhost:3000", 200),
        ("host", "mesh-registry.mesh.svc", 200),
        ("accept", "text/html", 200),
        ("accept", "*/*", 200),
    ] {
        let request = Request::post("/mcp").header("content-type", "application/json").header(name, value);
        let answer = registry.send(request.body(Body::from(ping.clone())).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {value}");
    }
    let plain = Request::post("/mcp").header("content-type", "text/plain").body(Body::from(ping)).unwrap();
    registry.send(plain).await.error(415, "unsupported_media_type");
    let large = Request::post("/mcp").body(Body::from("x".repeat(1_100_000))).unwrap();
    registry.send(large).await.error(413, "payload_too_large");
}

#[tokio::test]
async fn a_batch_is_answered_with_a_list_which_the_description_allows() {
    let registry = TestRegistry::start().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let answer =
        registry.post("/mcp", &json!([ping, {"jsonrpc": "2.0", "id": 0.5, "method": "ping"}])).await.ok();
    assert_eq!((answer.as_array().unwrap().len(), &answer[1]["id"]), (2, &json!(0.5)));
    let document = registry.get("/openapi.json").await.ok();
    for path in ["/mcp", "/mcp/"] {
        let answers = &document["paths"][path]["post"]["responses"];
        let either = &answers["200"]["content"]["application/json"]["schema"]["anyOf"];
        assert_eq!((&either[0], &either[1]["type"]), (&either[1]["items"], &json!("array")), "{path}");
        assert_eq!(either[0]["properties"]["jsonrpc"]["const"], "2.0");
        // A client may number its requests as it likes, and gets the same number back.
        assert_eq!(either[0]["properties"]["id"]["type"], json!(["string", "number", "null"]), "{path}");
    }
}
