//! How a call chooses its provider, and what a manifest and a caller can say about it. Each of these rooms stands on the
//! path of a call: taken off it, its test here fails.

use std::time::{Duration, Instant};

use mesh_tests::exchange::{self, Answer};
use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use serde_json::{Value, json};

struct Mesh {
    registry: TestRegistry,
    agents: Vec<ScriptedAgent>,
    own: ScriptedAgent,
    caller: Option<TestSidecar>,
}

/// A mesh in which agents that differ by `more` offer `work`, and whose caller has this in its manifest.
async fn mesh(more: &[Value], manifest: &str, settings: &[&str]) -> Mesh {
    let registry = TestRegistry::in_memory().await;
    let mut agents = Vec::new();
    for (i, more) in more.iter().enumerate() {
        let agent = ScriptedAgent::start(&format!("a{i}"), Speech::Current).await;
        let version = more["version"].as_str().unwrap_or("1.0.0");
        let work = json!({"name": "work", "version": version, "annotations": {"readOnlyHint": true}});
        let mut more = more.clone();
        more.as_object_mut().unwrap().remove("version");
        registry.offer(&format!("a{i}"), &agent.endpoint(), &work, &more).await;
        agents.push(agent);
    }
    let own = ScriptedAgent::start("caller", Speech::Current).await;
    let mut mesh = Mesh { registry, agents, own, caller: None };
    let manifest = format!("id: caller\nendpoint: {}\n{manifest}", mesh.own.endpoint());
    mesh.caller = Some(TestSidecar::start(&mesh.registry.url(), Some(&manifest), settings).await);
    mesh
}

impl Mesh {
    fn caller(&self) -> &TestSidecar {
        self.caller.as_ref().unwrap()
    }

    async fn call(&self, headers: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        exchange::send(self.caller().address, "POST", "/call/work", &headers, b"{}").await.unwrap()
    }

    /// How many of so many calls each agent served.
    async fn shares(&self, calls: usize) -> Vec<usize> {
        let before: Vec<_> = self.agents.iter().map(ScriptedAgent::executed).collect();
        for _ in 0..calls {
            let answer = self.call(&[]).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        self.agents.iter().zip(before).map(|(agent, before)| agent.executed() - before).collect()
    }
}

#[tokio::test]
async fn the_same_key_leads_to_the_same_provider_and_keys_spread() {
    let mesh = mesh(&[json!({}), json!({}), json!({})], "", &[]).await;
    let mut homes = Vec::new();
    for key in 0..24 {
        let key = format!("user-{key}");
        let home = mesh.call(&[("X-Mesh-Affinity", &key)]).await.header("x-mesh-agent").to_owned();
        for _ in 0..3 {
            assert_eq!(mesh.call(&[("X-Mesh-Affinity", &key)]).await.header("x-mesh-agent"), home, "{key}");
        }
        homes.push(home);
    }
    for agent in ["a0", "a1", "a2"] {
        assert!(homes.iter().any(|home| home == agent), "{homes:?}");
    }
    // One goes: its keys move, the others stay.
    let answer = exchange::send(mesh.registry.address, "DELETE", "/agents/a1", &[], b"").await.unwrap();
    assert_eq!(answer.status, 200);
    let after = TestSidecar::caller(&mesh.registry, &[]).await;
    for (key, home) in homes.iter().enumerate() {
        let key = format!("user-{key}");
        let headers = [("X-Mesh-Affinity", key.as_str())];
        let answer = exchange::send(after.address, "POST", "/call/work", &headers, b"{}").await.unwrap();
        let moved = answer.header("x-mesh-agent");
        assert!(if home == "a1" { moved != "a1" } else { moved == home }, "{key}: {home} -> {moved}");
    }
}

#[tokio::test]
async fn a_split_sends_its_share_to_the_new_version_and_a_key_stays_on_its_side() {
    let split = "routes:\n- capability: work\n  split:\n  - {version: ^2, weight: 25}\n  - {version: ^1, weight: 75}\n";
    let mesh = mesh(&[json!({"version": "1.4.0"}), json!({"version": "2.0.0"})], split, &[]).await;
    let shares = mesh.shares(200).await;
    assert!((25..=80).contains(&shares[1]), "{shares:?}");
    let mut sides = Vec::new();
    for key in 0..20 {
        let key = format!("user-{key}");
        let side = mesh.call(&[("X-Mesh-Affinity", &key)]).await.header("x-mesh-agent").to_owned();
        assert_eq!(mesh.call(&[("X-Mesh-Affinity", &key)]).await.header("x-mesh-agent"), side);
        sides.push(side);
    }
    assert!(sides.contains(&"a0".to_owned()) && sides.contains(&"a1".to_owned()), "{sides:?}");
    let explanation = mesh.caller().get("/explain/work").await.json();
    assert_eq!(explanation["branches"][0], json!({"agents": "version ^2", "weight": 25.0}));
    assert_eq!(explanation["candidates"][1]["branch"], 0);
}

#[tokio::test]
async fn a_split_by_label_falls_back_to_the_others_when_its_own_are_out() {
    let split = "routes:\n- capability: work\n  split:\n  - {labels: release=canary, weight: 1}\n  - {labels: '!release', weight: 0}\n";
    let mesh = mesh(&[json!({}), json!({"labels": {"release": "canary"}})], split, &[]).await;
    assert_eq!(mesh.shares(20).await, [0, 20]);
    mesh.agents[1].always(Act::Refuse(503));
    let answer = mesh.call(&[]).await;
    assert_eq!((answer.status, answer.header("x-mesh-agent")), (200, "a0"), "{}", answer.text());
}

#[tokio::test]
async fn a_provider_of_the_own_zone_is_preferred_among_equals() {
    let zone = |zone: &str| json!({"labels": {"topology.kubernetes.io/zone": zone}});
    let mesh = mesh(&[zone("a"), zone("b")], "labels: {zone: b}\n", &[]).await;
    mesh.agents.iter().for_each(|agent| agent.always(Act::AnswerAfter(Duration::from_millis(60))));
    let shares = mesh.shares(40).await;
    assert!(shares[1] >= 30, "{shares:?}");
    let explanation = mesh.caller().get("/explain/work").await.json();
    assert_eq!(
        (&explanation["candidates"][0]["zone_factor"], &explanation["candidates"][1]["zone_factor"]),
        (&json!(1.3), &json!(1.0))
    );
}

#[tokio::test]
async fn a_dependency_names_its_policy() {
    let agents = [json!({"weight": 1.0}), json!({"weight": 9.0})];
    let with = |policy: &str| format!("dependencies:\n- {{capability: work, policy: {policy}}}\n");
    assert_eq!(mesh(&agents, &with("round_robin"), &[]).await.shares(20).await, [10, 10]);
    let shares = mesh(&agents, &with("random"), &[]).await.shares(100).await;
    assert!((1..=30).contains(&shares[0]), "{shares:?}");
    let busy = mesh(&[json!({}), json!({})], &with("least_request"), &[]).await;
    busy.agents[0].next(&[Act::AnswerAfter(Duration::from_secs(5))]);
    busy.agents[1].next(&[Act::AnswerAfter(Duration::from_secs(5))]);
    let (slow, quick) = tokio::join!(busy.call(&[]), async {
        mesh_tests::wait::until("one is busy", async || {
            (busy.agents.iter().map(ScriptedAgent::executed).sum::<usize>() == 1).then_some(())
        })
        .await;
        busy.agents.iter().for_each(|agent| agent.always(Act::Answer));
        busy.call(&[]).await
    });
    assert_ne!(
        slow.header("x-mesh-agent"),
        quick.header("x-mesh-agent"),
        "the one without a call got the next"
    );
    assert_eq!(busy.caller().get("/explain/work").await.json()["policy"], "least_request");
}

#[tokio::test]
async fn the_terms_of_a_dependency_hold_unless_the_call_says_otherwise() {
    let terms = "dependencies:\n- {capability: work, version_constraint: ^2, timeout: 400ms, retries: 0}\n";
    let mesh = mesh(&[json!({"version": "1.0.0"}), json!({"version": "2.0.0"})], terms, &[]).await;
    assert_eq!(mesh.shares(10).await, [0, 10]);
    let other = mesh.caller().call("work?version_constraint=^1", &json!({})).await;
    assert_eq!(other.header("x-mesh-agent"), "a0");
    mesh.agents[1].next(&[Act::Refuse(503)]);
    let answer = mesh.call(&[]).await;
    assert_eq!((answer.status, answer.json()["attempts"].as_array().unwrap().len()), (502, 1));
    mesh.agents[1].always(Act::AnswerAfter(Duration::from_secs(20)));
    let answer = mesh.call(&[]).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
}

#[tokio::test]
async fn a_hedged_call_does_not_wait_for_the_slow_one() {
    let terms = "dependencies:\n- {capability: work, policy: round_robin, hedge: 50ms}\n";
    let mesh = mesh(&[json!({}), json!({})], terms, &[]).await;
    // What is saved up by quick calls pays for two.
    mesh.shares(45).await;
    mesh.agents[0].always(Act::AnswerAfter(Duration::from_secs(25)));
    let began = Instant::now();
    for _ in 0..2 {
        let answer = mesh.call(&[]).await;
        assert_eq!((answer.status, answer.header("x-mesh-agent")), (200, "a1"), "{}", answer.text());
    }
    assert!(began.elapsed() < Duration::from_secs(20), "nobody waited for the slow one");
    assert!(mesh.caller().get("/metrics").await.text().contains("mesh_hedges_total 1"));
    mesh_tests::wait::until("the slow one is let go", async || {
        (mesh.agents[0].abandoned() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn more_calls_than_there_are_places_are_shed() {
    let mesh = mesh(&[json!({})], "", &["--max-in-flight", "2"]).await;
    mesh.agents[0].always(Act::AnswerAfter(Duration::from_secs(2)));
    let (first, second, third) = tokio::join!(mesh.call(&[]), mesh.call(&[]), async {
        mesh_tests::wait::until("two are in flight", async || (mesh.agents[0].executed() == 2).then_some(()))
            .await;
        mesh.call(&[]).await
    });
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!((third.status, third.json()["code"].as_str()), (429, Some("overloaded")));
    assert!(!third.header("retry-after").is_empty() && third.json()["retryable"] == true);
    assert_eq!(mesh.call(&[]).await.status, 200, "places come back");
}

#[tokio::test]
async fn a_circle_of_calls_ends() {
    let mesh = mesh(&[json!({})], "", &[]).await;
    assert_eq!(mesh.call(&[("X-Mesh-Hops", "7")]).await.status, 200);
    assert_eq!(mesh.agents[0].header("x-mesh-hops"), "8");
    let answer = mesh.call(&[("X-Mesh-Hops", "8")]).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (508, Some("loop_detected")));
    assert_eq!(mesh.agents[0].executed(), 1);
}

#[tokio::test]
async fn the_deadline_shrinks_on_the_way_and_traces_are_passed_on() {
    let mesh = mesh(&[json!({}), json!({})], "", &[]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("X-Mesh-Timeout-Ms", "20000"), ("traceparent", trace), ("X-Mesh-Caller", "forged")];
    let answer = mesh.call(&headers).await;
    let served = mesh.agents.iter().find(|agent| agent.executed() == 1).unwrap();
    let left: u64 = served.header("x-mesh-timeout-ms").parse().unwrap();
    assert!(answer.status == 200 && (1..=20_000).contains(&left), "{left}");
    assert_eq!(
        (served.header("traceparent").as_str(), served.header("x-mesh-caller").as_str()),
        (trace, "caller")
    );
    // The second attempt has what the first one left.
    mesh.agents.iter().for_each(|agent| agent.next(&[Act::Vanish]));
    mesh.call(&headers).await;
    let attempts: Vec<_> = mesh.agents.iter().map(|agent| agent.header("x-mesh-attempt")).collect();
    assert!(attempts.contains(&"3".to_owned()) || attempts.contains(&"2".to_owned()), "{attempts:?}");
}
