//! A stdio agent in the mesh: real sidecars around it, one of which runs it.

use futures_util::future::join_all;
use mesh_tests::program::{binary, run};
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::until;
use mesh_tests::{exchange, http};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::life::lives;

/// A manifest of an agent that is the program of the tests, of this era.
fn manifest(id: &str, era: &str, folder: &TempDir) -> String {
    let (command, executions) = (binary("stdio-agent-under-test"), folder.path().join("executions"));
    let capabilities = ["echo", "sleep", "progress", "crash", "child", "cancelled", "noise", "change"]
        .map(|name| format!("  - name: {name}\n"));
    format!(
        "id: {id}\nhealth_interval: 1s\nendpoint:\n  stdio: {{command: {}, args: [{era}], env: {{EXECUTIONS: {}}}}}\n\
         capabilities:\n{}",
        command.display(),
        executions.display(),
        capabilities.concat()
    )
}

/// The same, but that the agent is asked what it can do.
fn asked(id: &str, era: &str, folder: &TempDir) -> String {
    let described = manifest(id, era, folder);
    let (before, _) = described.split_once("capabilities:").unwrap();
    format!("{before}capabilities: auto\n")
}

fn executions(folder: &TempDir, tool: &str) -> usize {
    let text = std::fs::read_to_string(folder.path().join("executions")).unwrap_or_default();
    text.lines().filter(|line| line.trim_matches('"') == tool).count()
}

/// What `child` says: the process of the agent, and one that it has started.
async fn processes(caller: &TestSidecar) -> [String; 2] {
    let answer = caller.call("child", &json!({})).await;
    let output = answer.json()["structuredContent"].clone();
    assert_eq!(answer.status, 200, "{}", answer.text());
    ["own", "child"].map(|key| output[key].to_string())
}

#[tokio::test]
async fn two_hundred_calls_of_several_peers_share_one_program() {
    for era in ["current", "older"] {
        let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
        let (_beside, inbound) = TestSidecar::with_port(&registry, &manifest("s", era, &folder), &[]).await;
        assert_eq!(registry.get("/agents/s").await.json()["endpoint"], format!("http://{inbound}/mcp"));
        let callers = [TestSidecar::caller(&registry, &[]).await, TestSidecar::caller(&registry, &[]).await];
        let calls = (0..200_usize).map(|i| {
            let caller = &callers[i % 2];
            async move { caller.call("sleep", &json!({"ms": 10, "n": i})).await }
        });
        for (i, answer) in join_all(calls).await.into_iter().enumerate() {
            let output = &answer.json()["structuredContent"];
            assert_eq!(
                (answer.status, &output["arguments"]["n"]),
                (200, &json!(i)),
                "{era}: {}",
                answer.text()
            );
        }
        assert_eq!((executions(&folder, "sleep"), executions(&folder, "start")), (200, 1), "{era}");
    }
}

#[tokio::test]
async fn progress_comes_through_two_sidecars_and_whoever_leaves_cancels() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let (_beside, _inbound) = TestSidecar::with_port(&registry, &manifest("s", "older", &folder), &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let headers = [("Accept", "text/event-stream"), ("Content-Type", "application/json")];
    let body = json!({"steps": 3, "ms": 20}).to_string();
    let answer =
        exchange::send(caller.address, "POST", "/call/progress", &headers, body.as_bytes()).await.unwrap();
    assert_eq!(answer.text().matches("notifications/progress").count(), 3, "{}", answer.text());
    assert!(answer.text().contains("event: result"), "{}", answer.text());
    let url = format!("http://{}/call/sleep", caller.address);
    let leaving = http::client().post(url).json(&json!({"ms": 600_000})).send();
    let arrived = until("the call has arrived", async || (executions(&folder, "sleep") == 1).then_some(()));
    tokio::select! {
        biased;
        _ = leaving => panic!("nobody answers"),
        () = arrived => {}
    }
    until("the program is told", async || {
        let told = caller.call("cancelled", &json!({})).await.json();
        (told["structuredContent"]["cancelled"] == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_has_begun_is_broken_off_when_the_program_ends() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let (_beside, _inbound) = TestSidecar::with_port(&registry, &manifest("s", "older", &folder), &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let url = format!("http://{}/call/progress", caller.address);
    let request = http::client().post(url).header("accept", "text/event-stream");
    let mut answer = request.json(&json!({"steps": 3_000, "ms": 20})).send().await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    assert_eq!(caller.call("crash", &json!({})).await.status, 502);
    let rest = answer.text().await.unwrap();
    assert!(rest.contains("event: error") && rest.contains("upstream_failed"), "{rest}");
}

#[tokio::test]
async fn what_it_can_do_is_asked_of_the_agent_itself() {
    for era in ["current", "older"] {
        let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
        let described = asked("s", era, &folder);
        let (_beside, _inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
        let registered = registry.get("/agents/s").await.json();
        assert_eq!(registered["capabilities"][0]["name"], "echo", "{era}: {registered}");
        let caller = TestSidecar::caller(&registry, &[]).await;
        assert_eq!(caller.call("echo", &json!({})).await.status, 200, "{era}");
    }
}

#[tokio::test]
async fn what_changes_at_a_program_is_registered_at_once() {
    for era in ["current", "older"] {
        let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
        // Only an announcement can make it ask again.
        let described = asked("s", era, &folder) + "tools: {interval: 1h}\n";
        let (_beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "change"}});
        // Perhaps nobody listens yet.
        until("the new tool is registered", async || {
            assert_eq!(exchange::post(inbound, "/mcp", &call).await.unwrap().status, 200);
            let agent = registry.get("/agents/s").await.json();
            (agent["capabilities"][1]["name"] == "new").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_program_says_beside_is_in_the_log_under_its_id() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let (mut beside, _inbound) =
        TestSidecar::with_port(&registry, &manifest("the-agent", "current", &folder), &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(caller.call("noise", &json!({"lines": 3})).await.status, 200);
    let under_its_id = |line: &str| (line.contains("noise 2") && line.contains("the-agent")).then_some(());
    beside.program.line("its words are in the log", under_its_id).await;
}

#[tokio::test]
async fn a_program_that_does_not_want_to_end_is_ended_all_the_same() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let stubborn = manifest("s", "older, stubborn", &folder);
    let (mut beside, _inbound) = TestSidecar::with_port(&registry, &stubborn, &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let pids = processes(&caller).await;
    beside.program.terminate().await;
    let status = beside.program.ended().await;
    assert!(status.success() && !pids.iter().any(|pid| lives(pid)), "{status:?} {pids:?}");
}

#[tokio::test]
async fn headers_that_repeat_parameters_are_checked_for_a_program_that_gets_none() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let described = asked("s", "current", &folder);
    let (_beside, inbound) = TestSidecar::with_port(&registry, &described, &[]).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let params = json!({"name": "echo", "arguments": {"region": "eu"}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    for (region, expected) in [("eu", 200), ("us", 400), ("", 400)] {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "echo"),
        ];
        headers.extend((!region.is_empty()).then_some(("mcp-param-region", region)));
        let answer = exchange::send(inbound, "POST", "/mcp", &headers, body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, expected, "{region}: {}", answer.text());
    }
    assert_eq!(executions(&folder, "echo"), 1);
    // A peer's sidecar knows which headers there must be.
    let caller = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(caller.call("echo", &json!({"region": "eu"})).await.status, 200);
}

#[tokio::test]
async fn a_crash_is_told_as_what_it_is_and_the_agent_comes_back() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let (beside, _inbound) = TestSidecar::with_port(&registry, &manifest("s", "current", &folder), &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let crashed = caller.call("crash", &json!({})).await;
    assert_eq!((crashed.status, executions(&folder, "crash")), (502, 1), "{}", crashed.text());
    assert!(crashed.text().contains("may have carried out"), "{}", crashed.text());
    until("the agent serves again", async || {
        (caller.call("echo", &json!({})).await.status == 200).then_some(())
    })
    .await;
    assert!(beside.program.printed().contains("our agent is down and is started again"));
    assert_eq!(executions(&folder, "start"), 2);
}

#[tokio::test]
async fn what_is_down_is_reported_as_degraded_and_refused_unexecuted() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let (beside, inbound) = TestSidecar::with_port(&registry, &manifest("s", "older", &folder), &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let [own, _] = processes(&caller).await;
    // Again and again, so that the pauses grow.
    let kill =
        async |pid: &str| tokio::process::Command::new("kill").args(["-9", pid]).status().await.unwrap();
    kill(&own).await;
    until("it is seen to be down", async || (registry.status_of("s").await == "degraded").then_some(()))
        .await;
    // It may be up by now; if not, the refusal says that nothing was executed.
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}});
    let answer = exchange::post(inbound, "/mcp", &call).await.unwrap();
    match answer.status {
        200 => {}
        status => assert_eq!(
            (status, answer.header("x-mesh-refused"), executions(&folder, "echo")),
            (503, "away", 0),
            "{}",
            answer.text()
        ),
    }
    until("it is healthy again", async || (registry.status_of("s").await == "healthy").then_some(())).await;
    drop(beside);
}

#[tokio::test]
async fn nothing_outlives_a_sidecar_that_is_killed() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let stubborn = manifest("s", "older, stubborn", &folder);
    let (mut beside, _inbound) = TestSidecar::with_port(&registry, &stubborn, &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let pids = processes(&caller).await;
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    beside.program.kill().await;
    until("both are gone", async || (!pids.iter().any(|pid| lives(pid))).then_some(())).await;
}

#[tokio::test]
async fn sigterm_finishes_calls_and_ends_the_program_in_order() {
    let (registry, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
    let (mut beside, _inbound) =
        TestSidecar::with_port(&registry, &manifest("s", "current", &folder), &[]).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let pids = processes(&caller).await;
    let calling = async {
        let answer = caller.call("sleep", &json!({"ms": 1_500})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let stopping = async {
        until("the call has arrived", async || (executions(&folder, "sleep") == 1).then_some(())).await;
        beside.program.terminate().await;
        beside.program.ended().await
    };
    let ((), status) = tokio::join!(calling, stopping);
    assert!(status.success() && !pids.iter().any(|pid| lives(pid)), "{status:?} {pids:?}");
}

#[tokio::test]
async fn a_program_without_a_port_for_peers_is_refused_in_words() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, manifest("s", "older", &folder)).unwrap();
    let (code, text) = run("sidecar-under-test", &["--manifest", file.to_str().unwrap()]).await;
    assert!(code == Some(64) && text.contains("--inbound") && text.contains("endpoint.stdio"), "{text}");
    assert_eq!(executions(&folder, "start"), 0);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named_in_the_log() {
    let registry = TestRegistry::in_memory().await;
    let described = "id: s\nendpoint: {stdio: {command: no-such-program}}\n";
    let more = ["--inbound", "127.0.0.1:0"];
    let mut sidecar = TestSidecar::start(&registry.url(), Some(described), &more).await;
    sidecar
        .program
        .line("the program is named", |line| line.contains("no-such-program cannot be run").then_some(()))
        .await;
    let ready = sidecar.get("/readyz").await;
    assert_eq!((ready.status, registry.get("/agents/s").await.json()["id"].clone()), (503, Value::Null));
}
