//! Clients of the current revision: what each request must say, and what each answer says.

use http::Method;
use serde_json::{Value, json};

use crate::table::{Table, ask_current, meta, send};

const LIST: [(&str, &str); 1] = [("Mcp-Method", "tools/list")];

fn without(key: &str) -> Value {
    let mut meta = meta();
    meta.as_object_mut().unwrap().remove(key);
    meta
}

#[tokio::test]
async fn discovery_says_who_answers_what_is_spoken_and_how_long_that_holds() {
    let answer = ask_current("server/discover", json!({}), &[("Mcp-Method", "server/discover")]).await;
    assert_eq!(answer.json()["id"], "a-1");
    let result = answer.result();
    assert_eq!(result["supportedVersions"][0], "2026-07-28");
    assert_eq!(result["capabilities"], json!({"tools": {"listChanged": false}}));
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(60_000), &json!("public")));
    assert_eq!(result["instructions"], "Look, then call.");
}

#[tokio::test]
async fn every_result_is_complete_and_says_who_answers() {
    let call = [("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")];
    for answer in [
        ask_current("tools/list", json!({}), &LIST).await,
        ask_current("tools/call", json!({"name": "echo"}), &call).await,
    ] {
        let result = answer.result();
        assert_eq!(result["resultType"], "complete");
        let server = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(server, &json!({"name": "table", "title": "A table", "version": "1.2.3"}));
    }
}

#[tokio::test]
async fn what_a_request_does_not_say_about_its_client_is_asked_for() {
    let key = |name: &str| format!("io.modelcontextprotocol/{name}");
    let mut typed = meta();
    typed[key("clientCapabilities")] = json!("none");
    for meta in
        [json!({}), json!(1), without(&key("protocolVersion")), without(&key("clientCapabilities")), typed]
    {
        let answer = ask_current("tools/list", json!({"_meta": meta}), &LIST).await;
        assert_eq!(answer.refusal(), (400, -32602), "{meta}");
    }
    let without_params = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let headers = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];
    let answer = send(&Table::with(0), Method::POST, &headers, &without_params).await;
    assert_eq!(answer.refusal(), (400, -32602));
    let nameless = without(&key("clientInfo"));
    ask_current("tools/list", json!({"_meta": nameless}), &LIST).await.result();
}

#[tokio::test]
async fn a_revision_that_is_not_spoken_is_answered_with_those_that_are() {
    let mut meta = meta();
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
    let headers = [("MCP-Protocol-Version", "2031-01-01"), LIST[0]];
    let answer = send(&Table::with(0), Method::POST, &headers, &message.to_string()).await;
    assert_eq!(answer.refusal(), (400, -32022));
    let data = &answer.json()["error"]["data"];
    assert_eq!(data["requested"], "2031-01-01");
    assert_eq!((&data["supported"][0], &data["supported"][1]), (&json!("2026-07-28"), &json!("2025-11-25")));
}

#[tokio::test]
async fn the_version_in_the_headers_must_be_there_and_be_that_of_the_body() {
    let message =
        json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": meta()}}).to_string();
    for headers in [
        &[LIST[0]][..],
        &[("MCP-Protocol-Version", "2025-11-25"), LIST[0]],
        &[("MCP-Protocol-Version", "2031-01-01"), LIST[0]],
        &[("MCP-Protocol-Version", "2026-07-28"), ("MCP-Protocol-Version", "2026-07-28"), LIST[0]],
    ] {
        let answer = send(&Table::with(0), Method::POST, headers, &message).await;
        assert_eq!(answer.refusal(), (400, -32020), "{headers:?}");
        assert_eq!(answer.json()["id"], 7);
    }
}

#[tokio::test]
async fn headers_to_route_by_must_say_what_the_body_says() {
    let call = ("Mcp-Method", "tools/call");
    for headers in [
        &[][..],
        &[("Mcp-Method", "tools/list"), ("Mcp-Name", "echo")],
        &[("Mcp-Method", "TOOLS/CALL"), ("Mcp-Name", "echo")],
        &[call],
        &[call, ("Mcp-Name", "refuse")],
        &[call, ("Mcp-Name", "ECHO")],
        &[call, ("Mcp-Name", "echo"), ("Mcp-Name", "refuse")],
        &[call, ("Mcp-Name", "=?base64?!?=")],
    ] {
        let answer = ask_current("tools/call", json!({"name": "echo"}), headers).await;
        assert_eq!(answer.refusal(), (400, -32020), "{headers:?}");
    }
    for (name, headers) in [
        ("echo", [("mcp-method", "tools/call"), ("MCP-NAME", "  echo ")]),
        ("echo", [call, ("Mcp-Name", "=?base64?ZWNobw==?=")]),
        ("größe", [call, ("Mcp-Name", "=?base64?Z3LDtsOfZQ==?=")]),
    ] {
        ask_current("tools/call", json!({"name": name}), &headers).await.result();
    }
}

#[tokio::test]
async fn methods_that_the_revision_dropped_and_unknown_ones_are_not_found() {
    for method in
        ["initialize", "ping", "logging/setLevel", "subscriptions/listen", "prompts/list", "what/ever"]
    {
        let answer = ask_current(method, json!({}), &[("Mcp-Method", method)]).await;
        assert_eq!(answer.refusal(), (404, -32601), "{method}");
        assert_eq!(answer.json()["id"], "a-1");
    }
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_not_found_whatever_its_parameters() {
    for (method, params) in [
        ("foo", json!({"name": 5})),
        ("foo", json!({"cursor": {}, "uri": 1, "protocolVersion": [], "arguments": 0})),
        ("prompts/get", json!({"name": 5})),
        ("resources/read", json!({"uri": 5})),
    ] {
        let answer = ask_current(method, params.clone(), &[("Mcp-Method", method)]).await;
        assert_eq!(answer.refusal(), (404, -32601), "{method} {params}");
    }
    for (params, said) in [(json!({"name": 5}), "'name'"), (json!({}), "'name'")] {
        let answer = ask_current("tools/call", params, &[("Mcp-Method", "tools/call")]).await;
        assert_eq!(answer.refusal(), (200, -32602));
        assert!(answer.text.contains(said), "{}", answer.text);
    }
}

#[tokio::test]
async fn parameters_without_room_for_what_a_client_says_of_itself_are_refused() {
    let headers = |method| [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
    for method in ["tools/list", "tools/call", "foo"] {
        for params in ["[]", "7", "null", "{}", r#"{"name":"a","name":"b"}"#] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            let answer = send(&Table::with(0), Method::POST, &headers(method), &message).await;
            assert_eq!(answer.refusal(), (400, -32602), "{method} {params}");
        }
    }
}

#[tokio::test]
async fn a_bare_discovery_learns_what_it_lacks() {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover"}).to_string();
    let answer = send(&Table::with(0), Method::POST, &[], &message).await;
    assert_eq!(answer.refusal(), (400, -32020));
}
