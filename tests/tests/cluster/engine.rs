//! What breaks in etcd.

use std::time::Duration;

use mesh_tests::agent::TestAgent;
use mesh_tests::exchange;
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::wait::until;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Cluster, MEMBERS, REPLICAS};

#[tokio::test]
async fn the_leader_is_killed() {
    let mut cluster = Cluster::start().await;
    let fleet = cluster.fleet().await;
    let leader = cluster.etcd.leader().await;
    cluster.etcd.kill(leader).await;
    assert_ne!(cluster.etcd.leader().await, leader);
    let took = fleet.converges(&cluster.addresses()).await;
    cluster.etcd.run(leader);
    cluster.etcd.recovers().await;
    let record = fleet.conclude(&cluster.addresses()).await;
    println!(
        "leader killed: longest time without a registration {:?}, all registries the same after {took:?}, {} \
         registrations, {} heartbeats not taken",
        record.longest_gap,
        record.acknowledged.len(),
        record.unheard
    );
}

#[tokio::test]
async fn all_members_are_restarted() {
    let mut cluster = Cluster::start().await;
    let fleet = cluster.fleet().await;
    for member in 0..MEMBERS {
        cluster.etcd.kill(member).await;
    }
    for replica in 0..REPLICAS {
        cluster.is_frozen(replica, true).await;
    }
    (0..MEMBERS).for_each(|member| cluster.etcd.run(member));
    cluster.etcd.recovers().await;
    let took = fleet.converges(&cluster.addresses()).await;
    let record = fleet.conclude(&cluster.addresses()).await;
    println!(
        "etcd killed and started when all had noticed: longest time without a registration {:?}, all registries the same {took:?} \
         after it had a leader, {} registrations",
        record.longest_gap,
        record.acknowledged.len()
    );
}

#[tokio::test]
async fn etcd_is_away_for_a_minute() {
    let mut cluster = Cluster::start().await;
    let fleet = cluster.fleet().await;
    for member in 0..MEMBERS {
        cluster.etcd.kill(member).await;
    }
    let gone = Instant::now();
    let agent = TestAgent::start("late", &[]).await;
    let late = manifest("late", &agent.endpoint(), "summarize", true);
    let sidecar = TestSidecar::start(&cluster.urls().join(","), Some(&late), &[]).await;
    let registry = cluster.replicas[0].registry.address;
    let refused =
        exchange::post(registry, "/agents", &json!({"id": "x", "endpoint": "http://h:1/"})).await.unwrap();
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("unavailable")),
        "{}",
        refused.text()
    );
    assert!(!refused.header("retry-after").is_empty());
    while gone.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_secs(1)).await;
        let answer = exchange::get(registry, "/agents?limit=1").await.unwrap();
        assert_eq!(answer.status, 200);
        if gone.elapsed() > Duration::from_secs(10) {
            let age = answer.header("age").parse::<u64>().unwrap();
            assert!((5..120).contains(&age), "{age}");
            let health = exchange::get(registry, "/health").await.unwrap();
            assert_eq!((health.status, health.json()["expiry_frozen"].as_bool()), (503, Some(true)));
            assert_eq!(exchange::get(registry, "/readyz").await.unwrap().status, 200);
        }
    }
    let away = gone.elapsed();
    (0..MEMBERS).for_each(|member| cluster.etcd.run(member));
    cluster.etcd.recovers().await;
    let took = fleet.converges(&cluster.addresses()).await;
    sidecar.ready().await;
    for replica in &cluster.replicas {
        until("the one that came meanwhile is found", async || {
            (replica.registry.status_of("late").await == "healthy").then_some(())
        })
        .await;
    }
    for replica in 0..REPLICAS {
        cluster.is_frozen(replica, false).await;
        assert_eq!(cluster.replicas[replica].registry.get("/agents").await.header("age"), "");
    }
    let record = fleet.conclude(&cluster.addresses()).await;
    println!(
        "etcd away for {away:?}: longest time without a registration {:?}, all registries the same {took:?} after it had \
         a leader, {} heartbeats not taken",
        record.longest_gap, record.unheard
    );
}
