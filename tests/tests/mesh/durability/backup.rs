//! A backup is taken while a registry is at work and fills another store with all that had been acknowledged.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_tests::program::Program;
use mesh_tests::registry::{BINARY, TestRegistry};
use mesh_tests::wait::until;
use serde_json::{Value, json};

use super::directory::{Directory, catalog, document};

/// Agents that are there before the backup.
const AGENTS: usize = 60;

/// Runs a command to its end: whether it went well, once all is printed that `expected` is part of.
async fn run(command: &str, store: &Directory, file: &Path, expected: &str) -> bool {
    let (store, file) = (store.url(), file.display().to_string());
    let mut program = Program::start(BINARY, &[command, "--store", &store, "--file", &file], &[]);
    let ended = program.ended().await;
    let what = format!("{command} says {expected:?}");
    until(&what, async || program.printed().contains(expected).then_some(())).await;
    ended.success()
}

async fn filled(directory: &Directory) -> TestRegistry {
    let registry = directory.open().await;
    for agent in 0..AGENTS {
        let id = format!("agent-{agent}");
        assert_eq!(registry.post("/agents", &document(&id, "first")).await.status, 200);
        assert_eq!(registry.post("/heartbeat", &json!({"agent_id": id})).await.status, 200);
    }
    registry.get("/agents?min_resource_version=1").await;
    registry
}

/// The agent, without what is only known of it while it is heard.
async fn registered(registry: &TestRegistry, id: &str) -> Value {
    let mut agent = registry.get(&format!("/agents/{id}")).await.json();
    let object = agent.as_object_mut().expect("an agent");
    object.retain(|key, _| key != "status" && key != "last_heartbeat");
    agent
}

fn backup_in(folder: &Path) -> PathBuf {
    folder.join("registry.backup")
}

#[tokio::test]
async fn a_backup_of_a_registry_at_work_holds_all_that_was_acknowledged_before_it() {
    let (directory, other) = (Directory::new(), Directory::new());
    let registry = filled(&directory).await;
    let (before, reached) = catalog(&registry).await;
    let file = backup_in(directory.path());
    let writing = async {
        for turn in 0.. {
            let answer = registry.post("/agents", &document(&format!("later-{turn}"), "first")).await;
            assert_eq!(answer.status, 200);
        }
    };
    tokio::select! {
        () = writing => {}
        went_well = run("backup", &directory, &file, "agents of file:") => assert!(went_well),
    }
    assert!(run("restore", &other, &file, "are in file:").await);
    let restored = other.open().await;
    let (after, version) = catalog(&restored).await;
    assert!(version > reached + 1_000, "clients that remember {reached} or a little later list again");
    let later = after.keys().filter(|id| id.starts_with("later-")).count();
    assert!((0..later).all(|turn| after.contains_key(&format!("later-{turn}"))), "it is not of one moment");
    for (id, version) in &before {
        assert_eq!(after.get(id), Some(version), "{id}");
        assert_eq!(registered(&restored, id).await, registered(&registry, id).await);
    }
    let answer = restored.post("/agents", &document("agent-0", "second")).await;
    assert!(answer.json()["resource_version"].as_u64() > Some(version), "{}", answer.text());
    assert!(registry.is_well().await && restored.is_well().await);
}

#[tokio::test]
async fn a_store_that_is_used_or_was_written_is_not_restored_into() {
    let (directory, other) = (Directory::new(), Directory::new());
    let mut registry = filled(&directory).await;
    let file = backup_in(other.path());
    assert!(run("backup", &directory, &file, "agents of file:").await);
    assert!(!run("restore", &directory, &file, "is in use by another mesh-registry").await);
    let (before, _) = catalog(&registry).await;
    registry.program.terminate().await;
    registry.program.ended().await;
    assert!(!run("restore", &directory, &file, "has been written already").await);
    assert_eq!(catalog(&directory.open().await).await.0, before);
}

#[tokio::test]
async fn a_backup_that_is_not_whole_restores_nothing() {
    let (directory, other) = (Directory::new(), Directory::new());
    let _registry = filled(&directory).await;
    let file = backup_in(directory.path());
    assert!(run("backup", &directory, &file, "agents of file:").await);
    let whole = fs::read(&file).expect("a backup");
    fs::write(&file, &whole[..whole.len() / 2]).expect("a backup can be cut");
    assert!(!run("restore", &other, &file, "take another backup").await);
    assert!(!run("backup", &other, &file, "cannot be used").await, "there is no store");
    assert_eq!(catalog(&other.open().await).await.0.len(), 0);
}
