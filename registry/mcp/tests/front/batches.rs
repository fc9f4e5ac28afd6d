//! Several messages at once, which one revision allowed.

use http::Method;
use serde_json::{Value, json};

use crate::table::{Answer, Table, send};

const WITH_BATCHES: (&str, &str) = ("MCP-Protocol-Version", "2025-03-26");

async fn batch(headers: &[(&str, &str)], messages: &Value) -> Answer {
    send(&Table::with(0), Method::POST, headers, &messages.to_string()).await
}

fn ping(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "ping"})
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item_and_notifications_are_not() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "nothing"}});
    for headers in [&[][..], &[WITH_BATCHES]] {
        let answer = batch(headers, &json!([ping(1), note, call, 7, ping(3)])).await;
        assert_eq!(answer.status.as_u16(), 200);
        let answers = answer.json();
        assert_eq!(
            (&answers[0], &answers[1]["id"]),
            (&json!({"jsonrpc": "2.0", "id": 1, "result": {}}), &json!(2))
        );
        assert_eq!((&answers[2]["error"]["code"], &answers[3]["id"]), (&json!(-32600), &json!(3)));
        assert_eq!(answers.as_array().unwrap().len(), 4);
    }
    let answer = batch(&[], &json!([note, note])).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
}

#[tokio::test]
async fn other_revisions_have_no_batches_and_none_is_empty_or_endless() {
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let answer = batch(&[("MCP-Protocol-Version", version)], &json!([ping(1)])).await;
        assert_eq!(answer.refusal(), (400, -32600), "{version}");
    }
    for headers in [&[WITH_BATCHES; 2][..], &[WITH_BATCHES, ("MCP-Protocol-Version", "2026-07-28")]] {
        assert_eq!(batch(headers, &json!([ping(1)])).await.refusal(), (400, -32020), "{headers:?}");
    }
    for messages in [json!([]), (0..21).map(ping).collect()] {
        assert_eq!(batch(&[WITH_BATCHES], &messages).await.refusal(), (400, -32600));
    }
    let answer = send(&Table::with(0), Method::POST, &[], "[1,").await;
    assert_eq!(answer.refusal(), (400, -32700));
}

#[tokio::test]
async fn a_message_of_a_batch_that_names_another_revision_is_refused() {
    let mut call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}});
    call["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2025-11-25"});
    let answer = batch(&[WITH_BATCHES], &json!([call, ping(2)])).await;
    assert_eq!(answer.status.as_u16(), 200);
    let answers = answer.json();
    assert_eq!((&answers[0]["error"]["code"], &answers[1]["result"]), (&json!(-32020), &json!({})));
}
