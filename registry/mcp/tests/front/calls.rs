//! Calls of tools: arguments in, results out.

use http::Method;
use serde_json::json;

use crate::table::{Table, ask_current, ask_older, send};

#[tokio::test]
async fn a_result_is_there_as_structure_and_as_text_byte_for_byte() {
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"b": 1e2,  "a":[ ]}}}"#;
    let answer = send(&Table::with(0), Method::POST, &[], message).await;
    let said = r#"{"said": {"b": 1e2,  "a":[ ]}}"#;
    assert!(answer.text.contains(&format!(r#""structuredContent":{said}"#)), "{}", answer.text);
    let result = answer.result();
    assert_eq!(result["content"], json!([{"type": "text", "text": said}]));
    assert_eq!(result["isError"], false);
}

#[tokio::test]
async fn a_failed_call_is_a_result_that_says_so_in_text_alone() {
    let result = ask_older("tools/call", json!({"name": "refuse", "arguments": {"a": 1}})).await.result();
    assert_eq!((&result["isError"], result.get("structuredContent")), (&json!(true), None));
    assert_eq!(result["content"][0]["text"], r#"{"said": {"a":1}}"#);
}

#[tokio::test]
async fn arguments_may_be_absent_or_null_and_else_are_an_object() {
    for call in [json!({"name": "echo"}), json!({"name": "echo", "arguments": null})] {
        assert_eq!(ask_older("tools/call", call).await.result()["structuredContent"], json!({"said": {}}));
    }
    for arguments in [json!([]), json!("x"), json!(1)] {
        let answer = ask_older("tools/call", json!({"name": "echo", "arguments": arguments})).await;
        assert_eq!(answer.refusal(), (200, -32602), "{arguments}");
    }
}

#[tokio::test]
async fn an_unknown_tool_is_an_error_in_both_eras() {
    let headers = [("Mcp-Method", "tools/call"), ("Mcp-Name", "nothing")];
    let current = ask_current("tools/call", json!({"name": "nothing"}), &headers).await;
    for answer in [current, ask_older("tools/call", json!({"name": "nothing"})).await] {
        assert_eq!(answer.refusal(), (200, -32602));
        assert_eq!(answer.json()["error"]["message"], "Unknown tool: nothing");
    }
    assert_eq!(ask_older("tools/call", json!({})).await.refusal(), (200, -32602));
}

#[tokio::test]
async fn a_tool_whose_answer_is_no_json_is_a_fault_of_the_server() {
    assert_eq!(ask_older("tools/call", json!({"name": "garbled"})).await.refusal(), (200, -32603));
}
