//! Agents that crash, hang, print rubbish and leave children behind.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use http_body_util::BodyExt as _;
use mesh_sidecar::bridge::restarts::Policy;
use mesh_tests::wait::until;
use serde_json::json;
use tokio::task::JoinSet;

use super::world::{World, call, quick, read};

/// Whether a process is there; one that nobody has reaped yet is not.
pub(super) fn lives(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_crash_fails_what_is_under_way_once_and_the_next_call_finds_the_agent_again() {
    for era in ["current", "older"] {
        let mut world = World::of(&[era]).await;
        let waiting = (0..10).map(|i: u64| {
            let world = &world;
            async move { world.current(&call(i, "sleep", json!({"ms": 60_000}))).await }
        });
        let crash = async {
            until("all are under way", async || (world.executions("sleep") == 10).then_some(())).await;
            world.current(&call(99, "crash", json!({}))).await
        };
        let (failed, crashed) = tokio::join!(join_all(waiting), crash);
        for got in failed.iter().chain([&crashed]) {
            assert_eq!(got.answer()["error"]["code"], -32603, "{got:?}");
        }
        // One that has no stream yet fails with a status that says: perhaps carried out, so repeat it only if that is safe.
        assert_eq!(crashed.status, 502);
        assert_eq!((world.executions("sleep"), world.executions("crash")), (10, 1), "{era}");
        world.up().await;
        until("it can be asked again", async || {
            (world.current(&call(1, "echo", json!({}))).await.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn listeners_are_let_go_when_the_agent_ends() {
    for era in ["current", "older"] {
        let world = World::of(&[era]).await;
        let listen = json!({"id": "l", "method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": true}}});
        let listening = world.begin(&listen).await;
        world.current(&call(1, "crash", json!({}))).await;
        let got = read(listening).await;
        assert!(got.messages.iter().all(|message| message.get("result").is_none()), "{era}: {got:?}");
    }
}

#[tokio::test]
async fn listeners_are_answered_when_we_leave_and_nobody_else_is_cut_off() {
    for era in ["current", "older"] {
        let world = World::of(&[era]).await;
        let listen = json!({"id": "l", "method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": true}}});
        let listening = world.begin(&listen).await;
        let older = world.send(Method::GET, &[("accept", "text/event-stream")], "").await;
        let slow = call(1, "sleep", json!({"ms": 500}));
        let leave = async { world.leaving.cancel() };
        let (got, ()) = tokio::join!(world.current(&slow), leave);
        assert!(got.answer()["result"].is_object(), "{era}: {got:?}");
        let got = read(listening).await;
        assert_eq!(
            (&got.answer()["id"], &got.answer()["result"]["resultType"]),
            (&json!("l"), &json!("complete")),
            "{era}"
        );
        assert_eq!(read(older).await.messages.len(), 0, "{era}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_says_so_and_when_to_try_again() {
    let minute = Duration::from_secs(60);
    let policy = Policy { first: minute, longest: minute, ..quick() };
    let world = World::start(&["crash"], policy);
    let got = until("it has crashed", async || {
        let got = world.older(&json!({"id": 1, "method": "ping"})).await;
        (got.headers["retry-after"] != "1").then_some(got)
    })
    .await;
    assert_eq!((got.status.as_u16(), &got.answer()["error"]["code"]), (503, &json!(-32603)));
    assert!(!*world.is_up.borrow());
}

#[tokio::test]
async fn rubbish_between_messages_is_skipped_and_nothing_but_rubbish_ends_the_agent() {
    let mut world = World::of(&["older"]).await;
    let got = world.current(&call(1, "rubbish", json!({"lines": 900}))).await;
    assert_eq!(got.status, 200, "{got:?}");
    let pid = got.output()["pid"].clone();
    let got = world.current(&call(2, "rubbish", json!({"lines": 100_000}))).await;
    assert!(got.answer()["error"].is_object(), "{got:?}");
    world.up().await;
    until("another process serves", async || {
        let got = world.current(&call(3, "echo", json!({}))).await;
        (got.status == 200 && got.output()["pid"] != pid).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_that_the_agent_started_outlives_it_and_no_zombie_is_left() {
    let mut world = World::of(&["older"]).await;
    let got = world.current(&call(1, "child", json!({}))).await;
    let child = got.output()["child"].to_string();
    assert!(lives(&child));
    world.current(&call(2, "crash", json!({}))).await;
    until("its child is gone as well", async || (!lives(&child)).then_some(())).await;
    world.up().await;
    let got = world.current(&call(3, "child", json!({}))).await;
    let child = got.output()["child"].to_string();
    world.stop.cancel();
    (&mut world.supervising).await.unwrap();
    assert!(!lives(&child) && !lives(&got.output()["own"].to_string()));
}

#[tokio::test]
async fn a_reader_that_is_slow_holds_up_nobody_else_and_gets_its_answer() {
    let world = World::of(&["older"]).await;
    let mut message = call(1, "progress", json!({"steps": 2_000, "bytes": 4_000}));
    message["params"]["_meta"] = json!({"progressToken": "t"});
    let slow = world.begin(&message).await;
    for i in 0..20 {
        assert_eq!(world.current(&call(i, "echo", json!({}))).await.status, 200);
    }
    until("all of it has been said", async || {
        let got = world.current(&call("b", "big", json!({"bytes": 1_000_000}))).await;
        (got.output()["text"].as_str()?.len() == 1_000_000).then_some(())
    })
    .await;
    let got = read(slow).await;
    assert_eq!(got.answer()["id"], 1);
    assert!(got.answer()["result"].is_object() && got.messages.len() > 2, "{}", got.messages.len());
}

#[tokio::test]
async fn more_than_can_wait_is_refused_at_once_and_not_executed() {
    let world = World::of(&["older"]).await;
    let world = Arc::new(world);
    let mut calls = JoinSet::new();
    for i in 0..64 + 1_024_u64 {
        let world = Arc::clone(&world);
        calls.spawn(async move { world.current(&call(i, "sleep", json!({"ms": 600_000}))).await });
    }
    until("as many as may are executed", async || (world.executions("sleep") == 64).then_some(())).await;
    let got = until("every place is taken", async || {
        let message = call("more", "sleep", json!({"ms": 600_000}));
        tokio::time::timeout(Duration::from_millis(200), world.current(&message)).await.ok()
    })
    .await;
    assert_eq!((got.status.as_u16(), &got.headers["retry-after"]), (429, &"1".parse().unwrap()), "{got:?}");
    assert_eq!(world.executions("sleep"), 64);
    drop(calls);
    until("all places are free again", async || {
        (world.current(&call(1, "echo", json!({}))).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_agent_sees_its_own_variables_and_none_of_ours() {
    let world = World::of(&["older"]).await;
    let got = world.current(&call(1, "environment", json!({}))).await;
    let variables = got.output()["variables"].as_object().unwrap();
    assert!(variables.contains_key("EXECUTIONS") && variables.contains_key("PATH"));
    // Cargo gives this one to every test.
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some() && !variables.contains_key("CARGO_PKG_NAME"));
    let folder = std::fs::canonicalize(world.folder()).unwrap();
    assert_eq!(got.output()["folder"], folder.display().to_string());
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let world = World::of(&["older"]).await;
    let mut body = world.begin(&call(1, "sleep", json!({"ms": 700}))).await.into_body();
    let mut comments = 0;
    let last = loop {
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        if piece.starts_with(b":") { comments += 1 } else { break piece }
    };
    assert!(comments >= 2 && last.starts_with(b"event: message\ndata: {"), "{comments} {last:?}");
}

#[tokio::test]
async fn a_thousand_restarts_leave_no_zombie() {
    let world = World::start(&["crash"], quick());
    for some in (100..=1_000).step_by(100) {
        until(&format!("{some} restarts"), async || (world.executions("start") >= some).then_some(())).await;
    }
    world.stop.cancel();
    world.supervising.await.unwrap();
    until("none of our children waits to be reaped", async || (zombies() == 0).then_some(())).await;
}

/// Children of this process that have ended and are still there.
fn zombies() -> usize {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let of_ours = |stat: &String| {
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').collect::<Vec<_>>();
        fields.first() == Some(&"Z") && fields.get(1) == Some(&own.as_str())
    };
    stats.filter(of_ours).count()
}
