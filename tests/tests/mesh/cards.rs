//! An agent goes out of one mesh as a card and into another one as a manifest.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_tests::agent::TestAgent;
use mesh_tests::program::run;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::TestSidecar;
use serde_json::{Value, json};
use tempfile::TempDir;

const SIDECAR: &str = "sidecar-under-test";
/// Only so that the test need not wait for the probes of a manifest that says nothing of them.
const QUICK: &str = "health: {interval: 200ms}\n";

/// Runs `mesh-sidecar init` to its end: its exit code and what it printed.
async fn init(arguments: &[&str]) -> (Option<i32>, String) {
    run(SIDECAR, &[&["init"], arguments].concat()).await
}

/// Whether the sidecar takes the manifest.
async fn is_taken(manifest: &Path) -> bool {
    let (code, said) = run(SIDECAR, &["--manifest", manifest.to_str().unwrap(), "--check"]).await;
    code == Some(0) && said.contains("is valid")
}

fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("agent.yaml")
}

/// What a card shows of an agent.
async fn shown(registry: &TestRegistry, format: &str) -> Value {
    let answer = registry.get(&format!("/agents/a:1?format={format}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn an_agent_registers_elsewhere_as_its_card_says() {
    let (here, agent) = (TestRegistry::in_memory().await, TestAgent::start("replica-1", &[]).await);
    let capability = json!({"name": "summarize", "version": "2.1.0", "description": "Shortens \"texts\": ${HOME} # all",
        "tags": ["text"], "annotations": {"readOnlyHint": true}});
    let more = json!({
        "name": "Summarizer", "namespace": "production", "labels": {"team": "text"},
        "annotations": {"description": "Shortens texts.\nWell.", "version": "3.0.0", "a2a-endpoint": "https://h.example/a2a"}
    });
    here.offer("a:1", &agent.endpoint(), &capability, &more).await;
    for format in ["server.json", "agent-card"] {
        let (there, folder) = (TestRegistry::in_memory().await, TempDir::new().unwrap());
        let file = file_in(&folder);
        let url = format!("{}/agents/a:1?format={format}", here.url());
        let (code, said) = init(&["--from", &url, "--output", file.to_str().unwrap()]).await;
        assert!(code == Some(0) && said.contains("--check"), "{said}");
        assert!(is_taken(&file).await);
        let manifest = fs::read_to_string(&file).unwrap() + QUICK;
        let _sidecar = TestSidecar::beside(&there, &manifest).await;
        let registered = there.get("/agents/a:1").await.json();
        assert_eq!(registered["endpoint"], agent.endpoint());
        assert_eq!(registered["capabilities"][0]["description"], capability["description"]);
        assert_eq!(registered["annotations"], more["annotations"]);
        for again in ["server.json", "agent-card"] {
            assert_eq!(shown(&there, again).await, shown(&here, again).await, "{format}");
        }
    }
}

#[tokio::test]
async fn what_an_address_says_of_a_missing_card_is_passed_on() {
    let registry = TestRegistry::in_memory().await;
    registry.offer("a", "http://h:1/mcp", &json!({"name": "x"}), &json!({})).await;
    let (code, said) = init(&["--from", &format!("{}/agents/a?format=agent-card", registry.url())]).await;
    assert!(code == Some(1) && said.contains("answered 404") && said.contains("'a2a-endpoint'"), "{said}");
    let (code, said) = init(&["--from", &format!("{}/agents/a", registry.url())]).await;
    assert!(code == Some(1) && said.contains("none of the cards that are known"), "{said}");
    let (code, said) = init(&["--from", "http://127.0.0.1:1/card.json"]).await;
    assert!(code == Some(1) && said.contains("cannot be reached") && said.contains("download"), "{said}");
    let (code, said) = init(&["--from", "ftp://h/card.json"]).await;
    assert!(code == Some(64) && said.contains("--from: 'from' must be a file or an http"), "{said}");
}

#[tokio::test]
async fn without_a_card_a_manifest_begins_with_examples_and_a_file_is_replaced_only_by_force() {
    let folder = TempDir::new().unwrap();
    let file = file_in(&folder);
    let path = file.to_str().unwrap();
    let (code, printed) = init(&[]).await;
    assert_eq!(code, Some(0), "{printed}");
    fs::write(&file, "mine").unwrap();
    let (code, said) = init(&["--output", path]).await;
    assert!(code == Some(1) && said.contains("is there already") && said.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let (code, said) = init(&["--output", path, "--force"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), printed);
    assert!(is_taken(&file).await);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    let card = folder.path().join("card.json");
    fs::write(&card, r#"{"name": "a.b/c"}"#).unwrap();
    let (code, said) = init(&["--from", card.to_str().unwrap(), "--output", "/nowhere/agent.yaml"]).await;
    assert!(code == Some(1) && said.contains("/nowhere/agent.yaml cannot be written"), "{said}");
}

#[tokio::test]
async fn the_command_is_told_of_and_its_flags_belong_behind_it() {
    let (code, said) = run(SIDECAR, &["--help"]).await;
    assert!(code == Some(0) && said.contains("init") && said.contains("to start from"), "{said}");
    let (code, said) = init(&["--help"]).await;
    assert_eq!(code, Some(0));
    for flag in ["--from <URL|FILE>", "--output <FILE>", "--force", "256 KiB"] {
        assert!(said.contains(flag), "{flag} in {said}");
    }
    let (code, said) = run(SIDECAR, &["--zone", "x", "init"]).await;
    assert!(code == Some(64) && said.contains("write mesh-sidecar init first"), "{said}");
    let (code, said) = init(&["--frm", "x"]).await;
    assert!(code == Some(64) && said.contains("--from"), "{said}");
}
