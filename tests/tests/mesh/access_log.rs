//! The access log has a line for the calls that somebody wants to see, and says what became of each.

use mesh_tests::exchange;
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The access lines of `caller`, once there are `count` of them.
async fn lines(caller: &mut TestSidecar, count: usize) -> Vec<Value> {
    let printed = |text: String| -> Vec<Value> {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "mesh_sidecar::access").collect()
    };
    until("the lines are printed", async || (printed(caller.program.printed()).len() >= count).then_some(()))
        .await;
    printed(caller.program.printed())
}

#[tokio::test]
async fn calls_have_a_line_as_far_as_that_is_wanted() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    let _beside = TestSidecar::beside(&registry, &manifest("a", &agent.endpoint(), "work", false)).await;
    // What goes wrong, what goes right, and what goes wrong: the last line shows that all before it are there.
    let cases: [(&[&str], &[&str]); 3] = [
        (&["--access-log", "all"], &["failed", "success", "no_provider"]),
        (&[], &["failed", "no_provider"]),
        (&["--access-log", "off"], &[]),
    ];
    for (settings, expected) in cases {
        let mut caller = TestSidecar::caller(&registry, settings).await;
        agent.next(&[Act::Refuse(500)]);
        let trace = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let failed = exchange::send(caller.address, "POST", "/call/work", &[("traceparent", &trace)], b"{}")
            .await
            .unwrap();
        assert_eq!(failed.status, 502, "{}", failed.text());
        assert_eq!(caller.call("work", &json!({})).await.status, 200);
        assert_eq!(caller.call("nothing", &json!({})).await.status, 404);
        let lines = lines(&mut caller, expected.len()).await;
        let outcomes: Vec<_> =
            lines.iter().map(|line| line["outcome"].as_str().unwrap_or_default()).collect();
        assert_eq!(outcomes, expected, "{settings:?}\n{}", caller.program.printed());
        for line in &lines {
            let served_by = if line["outcome"] == "success" { "a" } else { "" };
            assert_eq!(line["agent.id"], served_by, "{line}");
            assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
        }
        if let Some(first) = lines.first() {
            assert_eq!((&first["capability"], &first["trace.id"]), (&json!("work"), &json!(TRACE)));
            assert_eq!(first["attempts"], 1);
        }
    }
}
