//! What clients of both eras get from agents of both eras.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use mesh_tests::wait::until;
use serde_json::{Value, json};

use super::world::{World, call, read, some};

#[tokio::test]
async fn two_hundred_calls_at_once_each_get_their_own_answer() {
    for era in ["current", "older"] {
        let world = World::of(&[era]).await;
        // Ids are alike between clients of different eras, and among clients of one.
        let calls = (0..200).map(|i: u64| {
            let world = &world;
            async move {
                let message = call(i / 2, "sleep", json!({"ms": 20, "n": i}));
                if i.is_multiple_of(2) { world.current(&message).await } else { world.older(&message).await }
            }
        });
        for (i, got) in join_all(calls).await.into_iter().enumerate() {
            assert_eq!((got.status.as_u16(), &got.answer()["id"]), (200, &json!(i / 2)), "{era}: {got:?}");
            assert_eq!(got.output()["arguments"]["n"], i, "{era}");
        }
        assert_eq!(world.executions("sleep"), 200, "{era}");
    }
}

#[tokio::test]
async fn each_era_is_introduced_to_each_era() {
    for era in ["current", "older", "bare"] {
        let world = World::of(&[era]).await;
        let initialize =
            json!({"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}});
        let opened = world.older(&initialize).await;
        let result = &opened.answer()["result"];
        assert_eq!(result["protocolVersion"], "2025-03-26", "{era}: {opened:?}");
        assert!(opened.headers.contains_key("mcp-session-id") && result["capabilities"]["tools"].is_object());
        let discovered = world.current(&json!({"id": "d", "method": "server/discover"})).await;
        let result = &discovered.answer()["result"];
        assert_eq!((&discovered.answer()["id"], &result["resultType"]), (&json!("d"), &json!("complete")));
        assert!(result["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{era}");
        let told = if era == "bare" { "unnamed" } else { "stdio-agent" };
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], told);
        assert_eq!(world.older(&json!({"id": 2, "method": "ping"})).await.answer()["result"], json!({}));
        let listed = world.current(&json!({"id": 3, "method": "tools/list"})).await;
        let result = &listed.answer()["result"];
        assert_eq!(result["tools"][0]["name"], "echo");
        if era != "current" {
            assert_eq!((&result["ttlMs"], &result["resultType"]), (&json!(0), &json!("complete")), "{era}");
        }
        let called = world.older(&call(4, "echo", json!({"a": 1}))).await;
        assert_eq!(called.output()["arguments"], json!({"a": 1}), "{era}: {called:?}");
    }
}

#[tokio::test]
async fn what_need_not_change_passes_byte_for_byte() {
    let world = World::of(&["older"]).await;
    let body = "{ \"jsonrpc\":\"2.0\",\n\"id\": \"x\" ,\"params\":{\"name\":\"echo\",\r\n\"arguments\":{\"n\": 1e2,\"n2\":0.10}},\"method\":\"tools/call\"}";
    let headers = [("accept", "application/json")];
    let got = read(world.send(Method::POST, &headers, body).await).await;
    assert_eq!(
        (&got.answer()["id"], &got.output()["arguments"]),
        (&json!("x"), &json!({"n": 1e2, "n2": 0.10}))
    );
}

#[tokio::test]
async fn progress_goes_to_whoever_asked_for_it_under_its_own_name() {
    for era in ["current", "older"] {
        let world = World::of(&[era]).await;
        let mut calls = Vec::new();
        for client in 0..5 {
            let mut message = call(1, "progress", json!({"steps": 3, "ms": 10}));
            message["params"]["_meta"] = json!({"progressToken": format!("mine-{client}")});
            let world = &world;
            calls.push(async move {
                if client % 2 == 0 { world.current(&message).await } else { world.older(&message).await }
            });
        }
        for (client, got) in join_all(calls).await.into_iter().enumerate() {
            assert_eq!(got.messages.len(), 4, "{era}: {got:?}");
            for (step, note) in got.messages[..3].iter().enumerate() {
                assert_eq!(note["params"]["progress"], step + 1);
                assert_eq!(note["params"]["progressToken"], format!("mine-{client}"));
            }
        }
        let silent = world.current(&call(1, "progress", json!({"steps": 3}))).await;
        assert_eq!(silent.messages.len(), 1, "nobody asked for progress: {silent:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call_and_no_other() {
    for era in ["current", "older"] {
        let world = World::of(&[era]).await;
        let (leaving, staying) =
            (call(1, "sleep", json!({"ms": 60_000})), call(1, "sleep", json!({"ms": 400})));
        let staying = async { world.current(&staying).await };
        let leaving = async {
            tokio::time::timeout(Duration::from_millis(50), world.current(&leaving)).await.unwrap_err();
            cancelled(&world, 1).await;
        };
        let (stayed, ()) = tokio::join!(staying, leaving);
        assert_eq!(stayed.status, 200);
        // Also once the answer is a stream: the first comment begins it.
        let mut body = world.begin(&call(2, "sleep", json!({"ms": 60_000}))).await.into_body();
        assert!(body.frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b":"));
        drop(body);
        cancelled(&world, 2).await;
    }
}

async fn cancelled(world: &World, count: u64) {
    until("the agent is told that nobody waits", async || {
        let got = world.current(&call("c", "cancelled", json!({}))).await;
        (got.output()["cancelled"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_of_an_older_revision_cancels_by_its_session_and_its_id() {
    let world = World::of(&["older"]).await;
    let cancel = |session: &'static str| {
        let headers = [("mcp-session-id", session)];
        let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
        let world = &world;
        async move { world.send(Method::POST, &headers, body).await.status().as_u16() }
    };
    let waiting = |session: &'static str| {
        let headers = [("mcp-session-id", session), ("accept", "application/json")];
        let message = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":300}}}"#;
        let world = &world;
        async move { read(world.send(Method::POST, &headers, message).await).await }
    };
    let cancelling = async {
        until("both calls are there", async || (world.executions("sleep") == 2).then_some(())).await;
        assert_eq!((cancel("nobody").await, cancel("a").await), (202, 202));
        cancelled(&world, 1).await;
    };
    let (a, b, ()) = tokio::join!(waiting("a"), waiting("b"), cancelling);
    assert!(a.answer()["error"]["message"].as_str().unwrap().contains("cancelled"), "{a:?}");
    assert_eq!(b.status, 200, "{b:?}");
}

#[tokio::test]
async fn changes_reach_clients_of_both_eras() {
    for era in ["current", "older"] {
        let world = World::of(&[era]).await;
        let listen = json!({"id": "l", "method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": true}}});
        let mut current = world.begin(&listen).await.into_body();
        let acknowledged = some(&mut current, 1).await;
        assert_eq!(acknowledged[0]["method"], "notifications/subscriptions/acknowledged", "{era}");
        let mut older = world.send(Method::GET, &[("accept", "text/event-stream")], "").await.into_body();
        world.current(&call(1, "change", json!({}))).await;
        let (current, older) = (some(&mut current, 1).await, some(&mut older, 1).await);
        let key = "io.modelcontextprotocol/subscriptionId";
        assert_eq!(acknowledged[0]["params"]["_meta"][key], "l");
        assert_eq!(
            (&current[0]["method"], &current[0]["params"]["_meta"][key]),
            (&json!("notifications/tools/list_changed"), &json!("l")),
            "{era}"
        );
        assert_eq!(older, [json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})], "{era}");
    }
}

#[tokio::test]
async fn what_the_agent_asks_of_its_client_is_answered() {
    let world = World::of(&["older"]).await;
    let got = world.current(&call(1, "ask", json!({}))).await;
    let heard = got.output().as_array().unwrap();
    let of = |id: &str| heard.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!((&of("p")["result"], &of("s")["error"]["code"]), (&json!({}), &json!(-32601)));
}

#[tokio::test]
async fn what_breaks_the_rules_of_the_current_revision_never_reaches_the_agent() {
    let world = World::of(&["older"]).await;
    let body = |version: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "_meta": {
            "io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {},
        }}})
        .to_string()
    };
    let version = ("mcp-protocol-version", "2026-07-28");
    let whole = [version, ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    let other = [version, ("mcp-method", "tools/call"), ("mcp-name", "rm")];
    let bare = body("2026-07-28").replace("\"_meta\"", "\"meta\"");
    for (headers, body, code) in [
        (&other[..], body("2026-07-28"), -32020),
        (&whole[..2], body("2026-07-28"), -32020),
        (&whole[..], body("2027-01-01"), -32020),
        (&whole[..], bare, -32602),
        (&[], "[]".to_owned(), -32600),
        (&[], "{".to_owned(), -32700),
        (&[("origin", "https://evil.example.com")], body("2026-07-28"), -32600),
    ] {
        let got = read(world.send(Method::POST, headers, &body).await).await;
        assert_eq!(got.answer()["error"]["code"], code, "{headers:?} {body}");
        assert!(got.status.is_client_error(), "{got:?}");
    }
    assert_eq!(world.executions("echo"), 0);
    let unknown = json!({"id": 1, "method": "no/such"});
    assert_eq!(
        (world.current(&unknown).await.status, world.older(&unknown).await.status),
        (StatusCode::NOT_FOUND, StatusCode::OK)
    );
    let error: Value = world.older(&unknown).await.answer()["error"].clone();
    assert_eq!(error["code"], -32601);
}
