//! Sidecars that know several registries.

use std::time::Duration;

use mesh_tests::agent::TestAgent;
use mesh_tests::sidecar::{TestSidecar, manifest};
use serde_json::json;
use tokio::time::Instant;

use super::{Cluster, Replica};

/// Calls while one of the registries is away.
const CALLS: usize = 500;

#[tokio::test]
async fn no_call_fails_while_one_registry_after_the_other_is_killed_and_replaced() {
    let mut cluster = Cluster::start().await;
    let registries = cluster.urls().join(",");
    let agent = TestAgent::start("a", &[]).await;
    let provider = manifest("a", &agent.endpoint(), "summarize", true);
    let beside = TestSidecar::start(&registries, Some(&provider), &[]).await;
    beside.ready().await;
    // Nothing that was known before can be used: every call rests on an answer of a registry.
    let caller =
        TestSidecar::start(&registries, None, &["--discovery-fresh", "0", "--discovery-aging", "0"]).await;
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    for turn in 0..cluster.replicas.len() {
        cluster.replicas[turn].registry.program.kill().await;
        for _ in 0..CALLS {
            let began = Instant::now();
            let answer = caller.call("summarize", &json!({"text": "One. Two."})).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_ne!(answer.header("x-mesh-stale"), "1", "another registry could have been asked");
            (calls, slowest) = (calls + 1, slowest.max(began.elapsed()));
        }
        // At the address that the sidecars know.
        let address = cluster.replicas[turn].registry.address;
        cluster.replicas[turn] = Replica::start_at(&cluster.etcd, address).await;
    }
    println!(
        "0 of {calls} calls failed while each registry was killed in turn, the slowest took {slowest:?}"
    );
}
