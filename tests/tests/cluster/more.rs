//! What else happens to a cluster: etcd without room, watchers that change the registry, a store that moves into etcd.

use std::time::Duration;

use mesh_tests::etcd::Etcd;
use mesh_tests::program::Program;
use mesh_tests::registry::{BINARY, TestRegistry};
use mesh_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Cluster, TURN};

/// Room for some registrations of [`WEIGHT`] bytes.
const QUOTA: &str = "16777216";
const WEIGHT: usize = 500_000;
/// Time for an event to reach a watcher, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

fn heavy(id: &str, weight: usize) -> Value {
    json!({"id": id, "endpoint": "http://h:1/", "config": {"ballast": "x".repeat(weight)}})
}

#[tokio::test]
async fn an_etcd_without_room_refuses_registrations_and_nothing_else_until_there_is_room() {
    let _turn = TURN.lock().await;
    let etcd = Etcd::start_with(1, &["--quota-backend-bytes", QUOTA]).await;
    let registry =
        TestRegistry::start("127.0.0.1:0", &etcd.url(), &["--max-document-bytes", "8000000"]).await;
    let too_large = registry.post("/agents", &heavy("too-large", 4_000_000)).await;
    assert_eq!((too_large.status, too_large.json()["code"].as_str()), (413, Some("payload_too_large")));
    assert_eq!(registry.get("/health").await.status, 200, "the store is well");
    let mut taken = Vec::new();
    let refused = loop {
        let id = format!("agent-{}", taken.len());
        let answer = registry.post("/agents", &heavy(&id, WEIGHT)).await;
        if answer.status != 200 {
            break answer;
        }
        taken.push(id);
        assert!(taken.len() < 100, "the quota is never reached");
    };
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (507, Some("storage_full")),
        "{}",
        refused.text()
    );
    assert_eq!(registry.get("/agents?limit=1").await.json()["total"], taken.len());
    assert_eq!(registry.post("/heartbeat", &json!({"agent_id": taken[0]})).await.status, 200);
    until("it says so", async || {
        let health = registry.get("/health").await;
        (health.status == 503 && health.text().contains("full") && health.json()["expiry_frozen"] == true)
            .then_some(())
    })
    .await;
    // What an operator does: make room, and tell etcd that there is.
    for id in &taken {
        let removed =
            mesh_tests::exchange::send(registry.address, "DELETE", &format!("/agents/{id}"), &[], b"").await;
        assert_eq!(removed.unwrap().status, 200, "leaving needs no room");
    }
    etcd.compact(etcd.revision().await).await;
    etcd.make_room().await;
    until("it recovers by itself", async || {
        (registry.post("/agents", &heavy("again", WEIGHT)).await.status == 200).then_some(())
    })
    .await;
    until("and says so", async || {
        (registry.get("/health").await.json()["expiry_frozen"] == false).then_some(())
    })
    .await;
    assert!(registry.is_well().await);
}

#[tokio::test]
async fn a_registry_waits_for_etcd_and_says_that_it_is_not_ready_yet() {
    let _turn = TURN.lock().await;
    let mut etcd = Etcd::start(1).await;
    etcd.kill(0).await;
    // A port that was free a moment ago: nobody says which it is before the registry listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut program = Program::start(BINARY, &["--listen", &free.to_string(), "--store", &etcd.url()], &[]);
    let get = async |target| mesh_tests::exchange::get(free, target).await.ok();
    until("it is alive", async || (get("/livez").await?.status == 200).then_some(())).await;
    for target in ["/readyz", "/agents", "/health"] {
        let answer = get(target).await.unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{target}: {}", answer.text());
        assert_eq!(answer.json()["code"], "unavailable");
    }
    assert!(!program.has_ended());
    etcd.run(0);
    until("it is ready", async || (get("/readyz").await?.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_watcher_that_goes_to_another_registry_misses_no_change_of_health() {
    let cluster = Cluster::start().await;
    let [first, second] = [&cluster.replicas[0].registry, &cluster.replicas[1].registry];
    let mut attempt = 0;
    // On a busy machine the second one may have noticed by the time that it is asked.
    let id = loop {
        attempt += 1;
        let id = format!("a-{attempt}");
        let document = json!({"id": id, "endpoint": "http://h:1/", "health_interval": 1});
        assert_eq!(first.post("/agents", &document).await.status, 200);
        assert_eq!(first.post("/heartbeat", &json!({"agent_id": id})).await.status, 200);
        until("the one that heard it notices its silence", async || {
            (first.status_of(&id).await == "degraded").then_some(())
        })
        .await;
        if second.status_of(&id).await == "healthy" {
            break id;
        }
        assert!(attempt < 10, "others notice it later");
    };
    let next = second.post("/agents", &json!({"id": "b", "endpoint": "http://h:1/"})).await.json();
    // Whoever was told of b by the second one has not been told of a's silence, and is not told by the first one again.
    let version = next["resource_version"].as_u64().unwrap();
    let mut stream = TcpStream::connect(first.address).await.unwrap();
    let request = format!("GET /agents?watch=true HTTP/1.1\r\nHost: h\r\nLast-Event-ID: {version}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let told = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the watch goes on");
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let event = serde_json::from_str::<Value>(data).unwrap();
            if event["object"]["id"] == id && event["object"]["status"] == "degraded" {
                return;
            }
        }
    };
    timeout(SOON, told).await.expect("told of the silence");
}

#[tokio::test]
async fn what_one_registry_kept_in_a_directory_several_share_in_etcd() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("registry.backup"));
    let (data, file) = (format!("file:{}", data.display()), file.display().to_string());
    let alone = TestRegistry::start("127.0.0.1:0", &data, &[]).await;
    for number in 0..120 {
        let id = format!("agent-{number}");
        assert_eq!(alone.post("/agents", &json!({"id": id, "endpoint": "http://h:1/"})).await.status, 200);
        let heard = json!({"agent_id": id, "metadata": {"load": number}});
        assert_eq!(alone.post("/heartbeat", &heard).await.status, 200);
    }
    let run = async |arguments: &[&str]| {
        let mut program = Program::start(BINARY, arguments, &[]);
        assert!(program.ended().await.success(), "{arguments:?}: {}", program.printed());
    };
    until("the heartbeats are stored", async || {
        run(&["backup", "--store", &data, "--file", &file]).await;
        std::fs::read_to_string(&file).unwrap().contains("\\\"load\\\":119").then_some(())
    })
    .await;
    drop(alone);
    let etcd = Etcd::start(1).await;
    run(&["restore", "--store", &etcd.url(), "--file", &file]).await;
    let shared = [
        TestRegistry::start("127.0.0.1:0", &etcd.url(), &[]).await,
        TestRegistry::start("127.0.0.1:0", &etcd.url(), &[]).await,
    ];
    for registry in &shared {
        let healthy = registry.get("/agents?status=healthy").await.json();
        assert_eq!((&healthy["count"], &healthy["agents"][0]["metadata"]["load"]), (&json!(120), &json!(0)));
    }
    // And back: what etcd holds is a backup's as well, also while registries are at work.
    run(&["backup", "--store", &etcd.url(), "--file", &file]).await;
    let back = format!("file:{}", folder.path().join("back").display());
    run(&["restore", "--store", &back, "--file", &file]).await;
    let alone = TestRegistry::start("127.0.0.1:0", &back, &[]).await;
    assert_eq!(alone.get("/agents?status=healthy").await.json()["count"], 120);
}
