//! What is no message at all, and who may not ask.

use http::Method;
use serde_json::json;

use crate::table::{Table, older, send};

#[tokio::test]
async fn what_is_no_message_is_refused_without_an_id() {
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("hello", -32700),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} x", -32700),
        ("7", -32600),
        ("{}", -32600),
        (r#"{"id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32600),
    ] {
        let answer = send(&Table::with(0), Method::POST, &[], body).await;
        assert_eq!(answer.refusal(), (400, code), "{body}");
        assert_eq!(answer.json().get("id"), None, "{body}");
    }
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_refused_with_the_id() {
    for params in [json!([]), json!("x"), json!({"name": 7})] {
        let answer =
            older(&json!({"jsonrpc": "2.0", "id": -1.5, "method": "tools/call", "params": params})).await;
        assert_eq!((answer.refusal(), &answer.json()["id"]), ((200, -32602), &json!(-1.5)), "{params}");
    }
}

#[tokio::test]
async fn nothing_but_post_is_taken() {
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::OPTIONS] {
        let answer = send(&Table::with(0), method.clone(), &[("Mcp-Session-Id", "x")], "").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["allow"]),
            (405, &"POST".parse().unwrap()),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_under_every_method() {
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for (origin, is_allowed) in
        [("http://evil.example.com", false), ("null", false), ("http://localhost:8080", true)]
    {
        let headers = [("Origin", origin), ("Host", "evil.example.com")];
        let answer = send(&Table::with(0), Method::POST, &headers, &ping).await;
        assert_eq!(answer.status.as_u16(), if is_allowed { 200 } else { 403 }, "{origin}");
    }
    let answer = send(&Table::with(0), Method::GET, &[("Origin", "http://evil.example.com")], "").await;
    assert_eq!(answer.status.as_u16(), 403);
    let program =
        send(&Table::with(0), Method::POST, &[("Host", "mesh-registry.mesh.svc:8000")], &ping).await;
    assert_eq!(program.status.as_u16(), 200);
}
