//! What breaks between registries and etcd, and in registries.

use std::time::Duration;

use futures_util::future::join_all;
use mesh_tests::exchange;
use mesh_tests::program::{Program, binary};
use mesh_tests::registry::{BINARY, TestRegistry};
use mesh_tests::wait::until;
use serde_json::json;
use tokio::process::Command;
use tokio::time::Instant;

use super::{Cluster, Replica};

#[tokio::test]
async fn a_registry_is_cut_off_from_etcd_for_longer_than_its_lease() {
    let cluster = Cluster::start().await;
    let fleet = cluster.fleet().await;
    // Nothing passes, as when a network swallows everything; its agents reach it all the time.
    cluster.replicas[0].ways.iter().for_each(|way| way.silence());
    let cut_off = Instant::now();
    cluster.others_take_over().await;
    let others = &cluster.addresses()[1..];
    let meanwhile = fleet.converges(others).await;
    let away = cut_off.elapsed();
    cluster.replicas[0].ways.iter().for_each(|way| way.mend());
    let took = fleet.converges(&cluster.addresses()).await;
    let record = fleet.conclude(&cluster.addresses()).await;
    println!(
        "one registry cut off from etcd for {away:?}: longest time without a registration {:?}, the others the same after \
         {meanwhile:?}, all of them {took:?} after it was back, {} heartbeats not taken",
        record.longest_gap, record.unheard
    );
}

#[tokio::test]
async fn a_registry_that_is_cut_off_acknowledges_nothing_and_knows_no_better() {
    let cluster = Cluster::start().await;
    let [cut_off, well] = [&cluster.replicas[0].registry, &cluster.replicas[1].registry];
    let document = |port: u16| json!({"id": "a", "endpoint": format!("http://h:{port}/")});
    assert_eq!(cut_off.post("/agents", &document(1)).await.status, 200);
    cluster.replicas[0].ways.iter().for_each(|way| way.cut());
    until("the others know it", async || (well.status_of("a").await == "pending").then_some(())).await;
    assert_eq!(well.post("/agents", &document(2)).await.status, 200);
    assert_eq!(well.post("/agents", &json!({"id": "b", "endpoint": "http://h:1/"})).await.status, 200);
    // It still has the first document of the one, and has never heard of the other.
    for request in ["POST /agents", "DELETE /agents/a", "DELETE /agents/b"] {
        let (method, target) = request.split_once(' ').unwrap();
        let body = if method == "POST" { document(1).to_string() } else { String::new() };
        let headers = [("Content-Type", "application/json")];
        let answer =
            exchange::send(cut_off.address, method, target, &headers, body.as_bytes()).await.unwrap();
        assert_eq!(
            (answer.status, answer.header("retry-after").is_empty()),
            (503, false),
            "{request}: {}",
            answer.text()
        );
    }
    until("it knows that it is cut off", async || {
        (cut_off.get("/health").await.json()["expiry_frozen"] == true).then_some(())
    })
    .await;
    let known = cut_off.post("/heartbeat", &json!({"agent_id": "a"})).await;
    assert_eq!((known.status, known.json()["degraded"].as_bool()), (200, Some(true)), "{}", known.text());
    let unknown = cut_off.post("/heartbeat", &json!({"agent_id": "b"})).await;
    assert_eq!(unknown.status, 503, "{}", unknown.text());
    cluster.replicas[0].ways.iter().for_each(|way| way.mend());
    until("what it heard meanwhile is known to all", async || {
        (well.status_of("a").await == "healthy").then_some(())
    })
    .await;
    for replica in &cluster.replicas {
        until("all have the second document", async || {
            let agent = replica.registry.get("/agents/a").await.json();
            (agent["endpoint"] == "http://h:2/").then_some(())
        })
        .await;
    }
    let taken = cut_off.post("/agents", &document(1)).await.json();
    assert!(taken["message"].as_str().unwrap().contains("has changed"), "{taken}");
}

#[tokio::test]
async fn a_registry_is_killed_and_replaced() {
    let mut cluster = Cluster::start().await;
    let fleet = cluster.fleet().await;
    cluster.replicas[0].registry.program.kill().await;
    cluster.others_take_over().await;
    let meanwhile = fleet.converges(&cluster.addresses()[1..]).await;
    let began = Instant::now();
    cluster.replicas[0] = Replica::start(&cluster.etcd).await;
    let started = began.elapsed();
    let took = fleet.converges(&cluster.addresses()).await;
    let record = fleet.conclude(&cluster.addresses()).await;
    println!(
        "one registry killed: longest time without a registration {:?}, the others the same after {meanwhile:?}, its \
         replacement ready after {started:?} and the same {took:?} later, {} heartbeats not taken",
        record.longest_gap, record.unheard
    );
}

#[tokio::test]
async fn a_registry_is_paused_for_longer_than_its_lease() {
    let cluster = Cluster::start().await;
    let fleet = cluster.fleet().await;
    let paused = &cluster.replicas[0].registry.program;
    let stopped = Instant::now();
    paused.signal("STOP").await;
    cluster.others_take_over().await;
    paused.signal("CONT").await;
    let away = stopped.elapsed();
    let took = fleet.converges(&cluster.addresses()).await;
    let record = fleet.conclude(&cluster.addresses()).await;
    println!(
        "one registry paused for {away:?}: longest time without a registration {:?}, all the same {took:?} after it went on",
        record.longest_gap
    );
}

#[tokio::test]
async fn what_a_registry_missed_is_compacted_away() {
    let cluster = Cluster::start().await;
    let fleet = cluster.fleet().await;
    cluster.replicas[0].ways.iter().for_each(|way| way.cut());
    let missed = cluster.etcd.revision().await + 20;
    until("the others go on", async || (cluster.etcd.revision().await > missed).then_some(())).await;
    cluster.etcd.compact(cluster.etcd.revision().await).await;
    cluster.replicas[0].ways.iter().for_each(|way| way.mend());
    let took = fleet.converges(&cluster.addresses()).await;
    let program = &cluster.replicas[0].registry.program;
    until("it says that it has missed something", async || {
        program.printed().contains("everything is read anew").then_some(())
    })
    .await;
    fleet.conclude(&cluster.addresses()).await;
    println!("history compacted away: all registries the same after {took:?}");
}

#[tokio::test]
async fn the_clock_of_one_registry_is_half_a_minute_off() {
    let mut cluster = Cluster::start().await;
    let store = cluster.etcd.url();
    let mut command = Command::new("faketime");
    command.args(["-f", "+30s"]).arg(binary(BINARY)).args(["--listen", "127.0.0.1:0", "--store", &store]);
    // Only the clock on the wall: the other one is that of timers, which no host has wrong.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    let registry = TestRegistry::of(Program::run(command)).await;
    let theirs = registry.get("/health").await.json()["timestamp"].as_str().unwrap().to_owned();
    let ours =
        cluster.replicas[1].registry.get("/health").await.json()["timestamp"].as_str().unwrap().to_owned();
    let apart =
        theirs.parse::<jiff::Timestamp>().unwrap().duration_since(ours.parse().unwrap()).as_secs_f64();
    assert!((25.0..35.0).contains(&apart), "{apart}");
    cluster.replicas[0] = Replica { registry, ways: Vec::new() };
    let fleet = cluster.fleet().await;
    // An agent expires after the time of four heartbeats without one.
    fleet.lives_for(12).await;
    for address in cluster.addresses() {
        // One that is late on a busy machine is well again soon; those whom a clock makes late never are.
        until("nobody is degraded", async || {
            let degraded = exchange::get(address, "/agents?status=degraded").await.ok()?.json();
            (degraded["count"] == 0).then_some(())
        })
        .await;
    }
    let late = Replica::start(&cluster.etcd).await;
    cluster.replicas.push(late);
    let took = fleet.converges(&cluster.addresses()).await;
    fleet.conclude(&cluster.addresses()).await;
    println!("a clock {apart:.0} s off: nobody degraded, a registry that came then the same after {took:?}");
}

#[tokio::test]
async fn two_registries_register_the_same_id_at_once() {
    let cluster = Cluster::start().await;
    let (mut took, mut contended) = (Duration::ZERO, 0);
    for round in 0..50 {
        let began = Instant::now();
        let writers = cluster.addresses().into_iter().enumerate().map(|(writer, registry)| async move {
            let document =
                json!({"id": format!("same-{round}"), "endpoint": format!("http://h:{}/", writer + 1)});
            let answer = exchange::post(registry, "/agents", &document).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            (answer.json()["resource_version"].as_u64().unwrap(), writer + 1)
        });
        let mut written = join_all(writers).await;
        written.sort_unstable();
        let versions = written.iter().map(|(version, _)| *version).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(versions.len(), written.len(), "each writer's document was registered: {written:?}");
        contended += 1;
        let (version, writer) = *written.last().unwrap();
        for registry in cluster.addresses() {
            until("the last one to write is what everybody knows", async || {
                let agent = exchange::get(registry, &format!("/agents/same-{round}")).await.ok()?.json();
                let is_last = agent["resource_version"] == version;
                is_last.then(|| assert_eq!(agent["endpoint"], format!("http://h:{writer}/")))
            })
            .await;
        }
        took = took.max(began.elapsed());
    }
    println!("three registries wrote the same {contended} ids at once: all the same after {took:?} at most");
}
