//! Lists of tools, page by page.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::table::{Table, ask_older, send};

async fn page(table: &Table, cursor: Option<&str>) -> Value {
    let params = cursor.map_or(json!({}), |cursor| json!({"cursor": cursor}));
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params});
    send(table, Method::POST, &[], &message.to_string()).await.result()
}

#[tokio::test]
async fn a_short_list_is_one_page_in_the_order_of_names() {
    let page = page(&Table::with(0), None).await;
    let names = page["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["echo", "größe", "refuse"]);
    assert_eq!((&page["tools"][0]["inputSchema"]["type"], page.get("nextCursor")), (&json!("object"), None));
}

#[tokio::test]
async fn a_long_list_comes_whole_by_following_its_cursors() {
    let table = Table::with(1_200);
    let (mut names, mut pages, mut cursor) = (BTreeSet::new(), 0, None::<String>);
    loop {
        let page = page(&table, cursor.as_deref()).await;
        names.extend(page["tools"].as_array().unwrap().iter().map(|tool| tool["name"].to_string()));
        pages += 1;
        match page.get("nextCursor") {
            Some(next) => cursor = next.as_str().map(str::to_owned),
            None => break,
        }
    }
    assert_eq!((pages, names.len()), (3, 1_203));
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_refused() {
    for cursor in [json!("garbage"), json!(""), json!(7)] {
        let answer = ask_older("tools/list", json!({"cursor": cursor})).await;
        assert_eq!(answer.refusal(), (200, -32602), "{cursor}");
    }
    ask_older("tools/list", json!({"cursor": null})).await.result();
}
