//! Watches of the real registry over real connections: who does not read is cut, and nobody else notices.

use std::time::Duration;

use mesh_tests::registry::TestRegistry;
use mesh_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Agents that are registered while somebody does not read, and the weight of each in bytes: together more than the
/// buffers of a connection hold.
const AGENTS: usize = 150;
const WEIGHT: usize = 100_000;
/// Time for an event to reach a watcher that reads, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// Opens a watch and reads nothing of it.
async fn open(registry: &TestRegistry, target: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small buffer");
    let mut stream = socket.connect(registry.address).await.expect("the registry listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    stream
}

async fn watchers(registry: &TestRegistry) -> Option<u64> {
    let metrics = registry.get("/metrics/prometheus").await.text();
    metrics.lines().find_map(|line| line.strip_prefix("mcp_registry_watchers ")?.parse().ok())
}

async fn register(registry: &TestRegistry, id: &str, config: Value) {
    let document = json!({"id": id, "endpoint": "http://127.0.0.1:1/mcp", "config": config});
    assert_eq!(registry.post("/agents", &document).await.status, 200);
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_cut_and_the_others_are_told_meanwhile() {
    let registry = TestRegistry::in_memory().await;
    let mut idle = open(&registry, "/agents?watch=true").await;
    let mut reading = BufReader::new(open(&registry, "/agents?watch=true").await).lines();
    until("both watch", async || (watchers(&registry).await == Some(2)).then_some(())).await;
    for i in 0..AGENTS {
        register(&registry, &format!("agent-{i}"), json!({"ballast": "x".repeat(WEIGHT)})).await;
        let told = format!("\"id\":\"agent-{i}\"");
        let is_told =
            async { while !reading.next_line().await.expect("a line").expect("more").contains(&told) {} };
        timeout(SOON, is_told).await.expect("who reads is told while the other does not");
    }
    until("the idle one is cut", async || (watchers(&registry).await == Some(1)).then_some(())).await;
    let mut left = Vec::new();
    // What lies in the buffers can still be read; then the connection is over.
    let read = timeout(SOON, idle.read_to_end(&mut left)).await.expect("an end");
    assert!(read.is_err() || left.len() < AGENTS * WEIGHT, "{read:?}, {} bytes", left.len());
    assert!(registry.is_well().await);
}

#[tokio::test]
async fn a_watcher_that_goes_away_is_forgotten() {
    let registry = TestRegistry::in_memory().await;
    let watching = open(&registry, "/capabilities?name=x&watch=true").await;
    until("it watches", async || (watchers(&registry).await == Some(1)).then_some(())).await;
    drop(watching);
    until("it is forgotten", async || (watchers(&registry).await == Some(0)).then_some(())).await;
}

#[tokio::test]
async fn a_registry_that_is_told_to_stop_ends_its_watches_and_does_not_wait_for_them() {
    let mut registry = TestRegistry::start("127.0.0.1:0", "memory:", &["--drain-timeout", "3600"]).await;
    let mut watching = open(&registry, "/agents?watch=true").await;
    until("it watches", async || (watchers(&registry).await == Some(1)).then_some(())).await;
    registry.program.terminate().await;
    assert!(registry.program.ended().await.success());
    let mut all = Vec::new();
    timeout(SOON, watching.read_to_end(&mut all)).await.expect("an end").expect("a clean one");
    assert!(String::from_utf8_lossy(&all).ends_with("0\r\n\r\n"), "the stream is ended as HTTP wants it");
}
