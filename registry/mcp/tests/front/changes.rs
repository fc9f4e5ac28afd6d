//! Servers that tell their clients when the list changes, and those that do not.

use http::Method;
use serde_json::{Value, json};

use crate::table::{Answer, Table, ask_current_at, send};

const LISTEN: [(&str, &str); 1] = [("Mcp-Method", "subscriptions/listen")];

async fn listen(table: &Table, notifications: Value) -> Answer {
    ask_current_at(table, "subscriptions/listen", json!({"notifications": notifications}), &LISTEN).await
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

#[tokio::test]
async fn whoever_listens_is_told_under_the_id_of_the_request() {
    let table = Table::announcing();
    let result = listen(&table, json!({"toolsListChanged": true, "promptsListChanged": true})).await.result();
    let subscription = json!({"io.modelcontextprotocol/subscriptionId": "a-1"});
    assert_eq!(result, json!({"resultType": "complete", "_meta": subscription}));
    let changes = table.told.lock().unwrap().remove(0);
    let opening = json(&changes.opening.unwrap());
    assert_eq!(opening["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        opening["params"],
        json!({"_meta": subscription, "notifications": {"toolsListChanged": true}})
    );
    let notice = json(&changes.notice.unwrap());
    assert_eq!(notice["method"], "notifications/tools/list_changed");
    assert_eq!(notice["params"], json!({"_meta": subscription}));
}

#[tokio::test]
async fn whoever_listens_to_something_else_is_told_nothing() {
    let table = Table::announcing();
    listen(&table, json!({"promptsListChanged": true})).await.result();
    let changes = table.told.lock().unwrap().remove(0);
    assert_eq!(json(&changes.opening.unwrap())["params"]["notifications"], json!({}));
    assert_eq!(changes.notice, None);
    for bad in [json!(null), json!([]), json!({"toolsListChanged": "yes"})] {
        assert_eq!(listen(&table, bad).await.refusal(), (200, -32602));
    }
}

#[tokio::test]
async fn an_older_client_opens_a_stream_in_its_session() {
    let table = Table::announcing();
    let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}).to_string();
    let answer = send(&table, Method::POST, &[], &message).await;
    assert_eq!(answer.headers["mcp-session-id"], "s-1");
    assert_eq!(answer.result()["capabilities"], json!({"tools": {"listChanged": true}}));
    assert_eq!(send(&table, Method::GET, &[], "").await.status, 200);
    let changes = table.told.lock().unwrap().remove(0);
    assert_eq!(changes.opening, None);
    assert_eq!(
        json(&changes.notice.unwrap()),
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    assert_eq!(send(&table, Method::DELETE, &[], "").await.headers["allow"], "GET, POST");
}

#[tokio::test]
async fn a_server_whose_list_stays_has_nothing_to_listen_to() {
    let table = Table::with(0);
    assert_eq!(listen(&table, json!({"toolsListChanged": true})).await.refusal(), (404, -32601));
    assert_eq!(send(&table, Method::GET, &[], "").await.status, 405);
}
