//! A store without room: registrations are refused in words, everything else goes on, and nothing is lost.

use std::collections::HashMap;
use std::fs;

use mesh_tests::exchange::Answer;
use mesh_tests::program::{Program, binary};
use mesh_tests::registry::{BINARY, TestRegistry};
use serde_json::{Value, json};
use tokio::process::Command;

use super::directory::{Directory, catalog, document};

/// More registrations than fit into any of the stores here.
const TOO_MANY: usize = 2_000;

/// Becomes the registry `$1` that can write no file beyond 600 blocks of `ulimit -f`, each 512 or 1,024 bytes: room for
/// some dozens of registrations. The signal that comes with the limit must not end it.
const WITH_SMALL_FILES: &str =
    r#"trap '' XFSZ; ulimit -f 600; exec "$1" --listen 127.0.0.1:0 --store "file:$2""#;

/// Runs the registry `$1` on a small disk at `$2`; when the file `$3` appears, kills it, enlarges the disk and becomes
/// the registry once more.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=1m tmpfs "$2" || exit 77
    "$1" --listen 127.0.0.1:0 --store "file:$2" &
    until [ -e "$3" ]; do sleep 0.02; done
    kill -9 $!; wait $!
    mount -o remount,size=64m "$2"
    exec "$1" --listen 127.0.0.1:0 --store "file:$2"
"#;

/// Has the shell do something where it may mount: in namespaces of its own that end with it.
fn mounting(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]);
    command.args(["sh", "-c", script, "sh"]);
    command
}

async fn may_mount() -> bool {
    let tried = mounting("mount -t tmpfs tmpfs /mnt").output().await;
    tried.is_ok_and(|tried| tried.status.success())
}

/// Registers agents until the store takes no more: those that it took, and how it refused.
async fn fill(registry: &TestRegistry) -> (HashMap<String, u64>, Answer) {
    let mut taken = HashMap::new();
    for turn in 0..TOO_MANY {
        let id = format!("agent-{turn}");
        let answer = registry.post("/agents", &document(&id, "")).await;
        if answer.status != 200 {
            return (taken, answer);
        }
        taken.insert(id, answer.json()["resource_version"].as_u64().unwrap_or(0));
    }
    panic!("{TOO_MANY} registrations fit into a store without room");
}

/// Fills a store and checks that it refuses like this and goes on otherwise; returns what it took.
async fn filled(registry: &TestRegistry, status: u16, code: &str, reason: &str) -> HashMap<String, u64> {
    let (taken, refused) = fill(registry).await;
    assert!(!taken.is_empty(), "it took none: {}", refused.text());
    let said = refused.json();
    assert_eq!((refused.status, &said["code"]), (status, &json!(code)), "{said}");
    assert!(said["error"].as_str().is_some_and(|error| error.contains(reason)), "{said}");
    assert_eq!(catalog(registry).await.0, taken, "reads show what was acknowledged and nothing else");
    assert_eq!(registry.post("/heartbeat", &json!({"agent_id": "agent-0"})).await.status, 200);
    let health = registry.get("/health").await;
    assert_eq!((health.status, &health.json()["store_writable"]), (503, &json!(false)));
    assert!(registry.is_well().await, "{}", registry.program.printed());
    taken
}

/// Checks that a registry with room again knows what was taken, and takes more.
async fn expect_all(registry: &TestRegistry, taken: &HashMap<String, u64>) {
    assert_eq!(catalog(registry).await.0, *taken);
    assert_eq!(registry.post("/agents", &document("late", "")).await.status, 200);
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_refuses_registrations_and_loses_none() {
    let directory = Directory::new();
    let mut command = Command::new("sh");
    command.args(["-c", WITH_SMALL_FILES, "sh"]).arg(binary(BINARY)).arg(directory.path());
    let mut registry = TestRegistry::of(Program::run(command)).await;
    let taken = filled(&registry, 503, "unavailable", "the store is not available").await;
    registry.program.kill().await;
    expect_all(&directory.open().await, &taken).await;
}

#[tokio::test]
async fn a_full_disk_refuses_registrations_with_507_and_loses_none() {
    if !may_mount().await {
        println!("skipped: a small disk cannot be mounted without more privileges here");
        return;
    }
    let directory = Directory::new();
    let (disk, enlarge) = (directory.path().join("disk"), directory.path().join("enlarge"));
    fs::create_dir(&disk).unwrap();
    let mut command = mounting(ON_A_SMALL_DISK);
    command.arg(binary(BINARY)).args([&disk, &enlarge]);
    let mut registry = TestRegistry::of(Program::run(command)).await;
    let taken = filled(&registry, 507, "storage_full", "disk is full").await;

    fs::write(&enlarge, "").unwrap();
    let before = registry.address;
    let listens_anew = |line: &str| {
        let address = serde_json::from_str::<Value>(line).ok()?["address"].as_str()?.parse().ok()?;
        (address != before).then_some(address)
    };
    registry.address = registry.program.line("the registry runs again", listens_anew).await;
    expect_all(&registry, &taken).await;
}
