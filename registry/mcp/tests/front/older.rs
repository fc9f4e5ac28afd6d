//! Clients of older revisions: with a handshake, without one, and whenever they like.

use http::Method;
use serde_json::json;

use crate::table::{Table, ask_older, older, send};

#[tokio::test]
async fn a_handshake_gets_the_revision_it_asks_for_or_the_newest_that_has_one() {
    for (wanted, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1.0", "2025-11-25"),
    ] {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": wanted, "capabilities": {}, "clientInfo": client});
        let answer = ask_older("initialize", params).await;
        assert!(!answer.headers.contains_key("mcp-session-id"));
        let result = answer.result();
        assert_eq!(result["protocolVersion"], given);
        assert_eq!(result["serverInfo"]["name"], "table");
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": false}}));
    }
    ask_older("initialize", json!({})).await.result();
}

#[tokio::test]
async fn a_client_that_discovered_the_current_revision_may_still_shake_hands() {
    let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let headers = [("MCP-Protocol-Version", "2026-07-28")];
    send(&Table::with(0), Method::POST, &headers, &message.to_string()).await.result();
}

#[tokio::test]
async fn results_are_as_bare_as_the_revision_wants_them() {
    let call = json!({"name": "echo", "arguments": {}});
    for answer in [ask_older("tools/list", json!({})).await, ask_older("tools/call", call).await] {
        let result = answer.result();
        for added in ["resultType", "_meta", "ttlMs", "cacheScope"] {
            assert_eq!(result.get(added), None);
        }
    }
    assert_eq!(ask_older("ping", json!({})).await.result(), json!({}));
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_an_error_and_not_a_missing_page() {
    for method in ["logging/setLevel", "resources/list", "prompts/get", "what/ever"] {
        for params in [json!({}), json!([]), json!({"name": 5})] {
            assert_eq!(ask_older(method, params).await.refusal(), (200, -32601), "{method}");
        }
    }
}

#[tokio::test]
async fn notifications_and_answers_are_accepted_in_silence() {
    for message in [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        json!({"jsonrpc": "2.0", "id": 3, "result": {}}),
        json!({"jsonrpc": "2.0", "id": 3, "error": {"code": -1, "message": "no"}}),
    ] {
        let answer = older(&message).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""), "{message}");
    }
}

#[tokio::test]
async fn a_cancelled_request_is_named_to_the_tools() {
    let table = Table::with(0);
    for params in
        [json!({"requestId": 7, "reason": "x"}), json!({"requestId": "seven"}), json!({}), json!([1])]
    {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        let answer = send(&table, Method::POST, &[], &message.to_string()).await;
        assert_eq!(answer.status, 202);
    }
    assert_eq!(*table.cancelled.lock().unwrap(), ["7", "\"seven\""]);
}

#[tokio::test]
async fn a_version_in_the_headers_is_taken_if_it_is_one_and_else_told_what_is_spoken() {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    for (version, is_spoken) in
        [("2025-06-18", true), ("2025-11-25", true), ("2025-09-09", false), ("x", false)]
    {
        let headers = [("MCP-Protocol-Version", version)];
        let answer = send(&Table::with(0), Method::POST, &headers, &list).await;
        if is_spoken {
            answer.result();
        } else {
            assert_eq!(answer.refusal(), (400, -32022), "{version}");
        }
    }
}

#[tokio::test]
async fn a_body_cannot_leave_the_revision_that_its_headers_name() {
    let current = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];
    let negotiated = [("MCP-Protocol-Version", "2025-06-18")];
    for (method, headers) in [
        ("tools/call", &current[..]),
        ("tools/call", &negotiated),
        ("initialize", &current),
        ("ping", &current),
    ] {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2025-11-25"});
        let params = json!({"name": "echo", "_meta": meta});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let answer = send(&Table::with(0), Method::POST, headers, &message).await;
        assert_eq!(answer.refusal(), (400, -32020), "{method} {headers:?}");
    }
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2025-11-25", "progressToken": 1});
    for meta in [meta, json!({"progressToken": 1})] {
        let params = json!({"name": "echo", "_meta": meta});
        let message =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
        let headers = [("MCP-Protocol-Version", "2025-11-25")];
        send(&Table::with(0), Method::POST, &headers, &message).await.result();
    }
}
