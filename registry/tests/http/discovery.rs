//! Queries: every filter, ranking, paging, and what is wrong with bad ones.

use serde_json::{Value, json};

use crate::harness::TestRegistry;

/// Four agents of different kinds, all of them healthy but `quiet`.
async fn populated() -> TestRegistry {
    let registry = TestRegistry::start().await;
    let weather = json!({
        "name": "Weather", "namespace": "prod", "agent_type": "worker", "labels": {"env": "prod", "tier": "1"},
        "capabilities": [
            {"name": "forecast", "version": "2.1.0", "category": "weather", "tags": ["rain", "sun"], "description": "Tells the Future"},
            {"name": "forecast", "version": "1.4.0", "category": "weather", "tags": ["rain"], "stability": "deprecated"}
        ]
    });
    let text = json!({
        "name": "Text", "namespace": "prod", "labels": {"env": "staging"},
        "capabilities": [
            {"name": "summarize", "version": "1.0.0", "category": "text", "tags": ["nlp"]},
            {"name": "translate", "version": "1.5.0-beta.1", "category": "text", "tags": ["nlp", "rain"], "stability": "beta"}
        ]
    });
    for (id, document) in [("weather-1", weather.clone()), ("weather-2", weather), ("text-1", text)] {
        registry.register(id, document).await;
        registry.beat(id).await;
    }
    registry.register("quiet", json!({"capabilities": [{"name": "summarise"}]})).await;
    registry
}

async fn agents(registry: &TestRegistry, query: &str) -> Vec<String> {
    registry.get(&format!("/agents?{query}")).await.column("id")
}

async fn capabilities(registry: &TestRegistry, query: &str) -> Vec<String> {
    let page = registry.get(&format!("/capabilities?{query}")).await.ok();
    let name =
        |row: &Value| format!("{}/{}", row["agent_id"].as_str().unwrap(), row["name"].as_str().unwrap());
    page["capabilities"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn every_filter_of_agents_filters() {
    let registry = populated().await;
    for (query, expected) in [
        ("", "quiet text-1 weather-1 weather-2"),
        ("id=text-1", "text-1"),
        ("id=nobody", ""),
        ("name=Weather", "weather-1 weather-2"),
        ("name=weather", ""),
        ("namespace=default", "quiet"),
        ("agent_type=worker", "weather-1 weather-2"),
        ("status=pending", "quiet"),
        ("status=pending,healthy&namespace=prod", "text-1 weather-1 weather-2"),
        ("status=any", "quiet text-1 weather-1 weather-2"),
        ("capability=summarize", "text-1"),
        ("category=weather", "weather-1 weather-2"),
        ("capability_stability=beta", "text-1"),
        ("tags=rain", "text-1 weather-1 weather-2"),
        ("capability_tags=rain,sun", "weather-1 weather-2"),
        ("version_constraint=~1.4", "weather-1 weather-2"),
        ("version_constraint=1.0.0", "quiet text-1"),
        ("version_constraint=%3E%3D1.5.0-alpha,%3C2", "text-1"),
        ("label_selector=env%20in%20(prod,staging),tier", "weather-1 weather-2"),
        ("label_selector=env+in+(prod,staging),tier", "weather-1 weather-2"),
        ("label_selector=!env", "quiet"),
        ("label_selector=env!=prod", "quiet text-1"),
    ] {
        assert_eq!(agents(&registry, query).await.join(" "), expected, "{query}");
    }
}

#[tokio::test]
async fn one_capability_must_satisfy_all_filters() {
    let registry = populated().await;
    assert_eq!(
        agents(&registry, "capability=forecast&version_constraint=^1&stability=stable").await,
        [""; 0]
    );
    assert_eq!(agents(&registry, "capability=summarize&tags=rain").await, [""; 0]);
    assert_eq!(agents(&registry, "capability=translate&tags=rain,nlp").await, ["text-1"]);
}

#[tokio::test]
async fn every_filter_of_capabilities_filters() {
    let registry = populated().await;
    for (query, expected) in [
        ("agent_id=text-1", "text-1/summarize text-1/translate"),
        ("name=forecast&agent_id=weather-1", "weather-1/forecast"),
        ("name=forecast&agent_id=weather-1&include_deprecated=true", "weather-1/forecast weather-1/forecast"),
        ("stability=deprecated&agent_id=weather-2", "weather-2/forecast"),
        ("tags=rain&agent_namespace=prod&category=text", "text-1/translate"),
        ("description_contains=the%20FUTURE&agent_id=weather-2", "weather-2/forecast"),
        ("agent_status=pending", "quiet/summarise"),
        ("agent_status=any&category=text", "text-1/summarize text-1/translate"),
        ("label_selector=env=staging&version_constraint=^1", "text-1/summarize"),
        ("agent_id=quiet", ""),
    ] {
        assert_eq!(capabilities(&registry, query).await.join(" "), expected, "{query}");
    }
}

#[tokio::test]
async fn a_fuzzy_query_forgives_typos_and_ranks_the_best_first() {
    let registry = populated().await;
    let found = capabilities(&registry, "name=summarise&fuzzy_match=true&agent_status=any").await;
    assert_eq!(found, ["quiet/summarise", "text-1/summarize"]);
    assert_eq!(agents(&registry, "capability=FORECSAT&fuzzy_match=true").await, ["weather-1", "weather-2"]);
    assert_eq!(
        agents(&registry, "name=weathr&fuzzy_match=true&namespace=prod").await,
        ["weather-1", "weather-2"]
    );
    let any_tag = capabilities(&registry, "tags=sun,nlp&fuzzy_match=true&agent_id=text-1").await;
    assert_eq!(any_tag, ["text-1/summarize", "text-1/translate"]);
    let rows = registry.get("/capabilities?name=summ&fuzzy_match=true&agent_status=any").await.ok();
    let scores = rows["capabilities"].as_array().unwrap().iter().map(|row| row["score"].as_f64().unwrap());
    assert!(scores.into_iter().all(|score| score > 0.0 && score < 1.0));
    assert_eq!(rows["count"], 2);
}

#[tokio::test]
async fn pages_join_up_to_the_whole_answer() {
    let registry = populated().await;
    for base in [
        "/agents?",
        "/agents?fuzzy_match=true&capability=*",
        "/capabilities?agent_status=any&include_deprecated=true",
        "/capabilities?agent_status=any&fuzzy_match=true&name=summarize",
    ] {
        let whole =
            registry.get(base).await.column(if base.starts_with("/agents") { "id" } else { "agent_id" });
        let mut joined = Vec::new();
        let mut target = format!("{base}&limit=1");
        loop {
            let page = registry.get(&target).await;
            joined.extend(page.column(if base.starts_with("/agents") { "id" } else { "agent_id" }));
            assert_eq!(page.ok()["total"], whole.len(), "{target}");
            let Some(token) = page.ok().get("continue").cloned() else { break };
            target = format!("{base}&limit=1&continue={}", token.as_str().unwrap());
        }
        assert_eq!(joined, whole, "{base}");
    }
}

#[tokio::test]
async fn pages_of_a_few_among_many_join_up_too() {
    let registry = TestRegistry::start().await;
    for i in 0..60 {
        let namespace = if (20..24).contains(&i) { "few" } else { "many" };
        let capabilities = json!([{"name": "x"}, {"name": "y"}]);
        registry
            .register(&format!("agent-{i}"), json!({"namespace": namespace, "capabilities": capabilities}))
            .await;
    }
    for (base, key, rows) in [
        ("/agents?namespace=few", "id", 4),
        ("/capabilities?agent_namespace=few&agent_status=any", "agent_id", 8),
    ] {
        for limit in 1..4 {
            let (mut joined, mut target) = (Vec::new(), format!("{base}&limit={limit}"));
            loop {
                let page = registry.get(&target).await;
                joined.extend(page.column(key));
                let Some(token) = page.ok().get("continue").cloned() else { break };
                target = format!("{base}&limit={limit}&continue={}", token.as_str().unwrap());
            }
            assert!(joined.len() == rows && joined.is_sorted(), "{base} by {limit}: {joined:?}");
        }
    }
}

#[tokio::test]
async fn a_page_continues_where_it_ended_though_agents_come_and_go() {
    let registry = populated().await;
    let first = registry.get("/agents?limit=2").await;
    assert_eq!(first.column("id"), ["quiet", "text-1"]);
    registry.delete("/agents/text-1").await.ok();
    registry.register("aaa", json!({})).await;
    let token = first.ok()["continue"].as_str().unwrap().to_owned();
    assert_eq!(agents(&registry, &format!("continue={token}")).await, ["weather-1", "weather-2"]);
}

#[tokio::test]
async fn a_bad_query_is_answered_with_every_fault() {
    let registry = TestRegistry::start().await;
    let message =
        registry.get("/agents?namspace=x&limit=0&status=sleepy").await.error(400, "validation_failed");
    for said in ["Invalid query", "did you mean 'namespace'?", "'limit'", "'status'"] {
        assert!(message.contains(said), "{said} in {message}");
    }
    let message =
        registry.get("/agents?label_selector=env%20in&limit=x").await.error(400, "validation_failed");
    assert!(message.starts_with("Invalid label selector") && message.contains("'limit'"), "{message}");
    let message =
        registry.get("/capabilities?version_constraint=newest").await.error(400, "validation_failed");
    assert!(message.contains("^1.2.0"), "{message}");
    for token in ["garbage", "e30", "%00"] {
        let message =
            registry.get(&format!("/agents?continue={token}")).await.error(400, "validation_failed");
        assert!(message.contains("'continue'"), "{message}");
    }
}

#[tokio::test]
async fn answers_say_how_long_they_may_be_kept_and_what_they_know() {
    let registry = populated().await;
    for target in ["/agents", "/capabilities"] {
        let answer = registry.get(target).await;
        assert_eq!(answer.headers["cache-control"], "max-age=30");
        assert_eq!((&answer.ok()["resource_version"], &answer.ok()["warm"]), (&json!(4), &json!(false)));
    }
}

#[tokio::test]
async fn the_tools_answer_as_their_routes_do() {
    let registry = populated().await;
    for (tool, arguments, target) in [
        (
            "discover_services",
            json!({"namespace": "prod", "capability_tags": ["rain", "sun"]}),
            "/agents?namespace=prod&tags=rain,sun",
        ),
        ("list_capabilities", json!({"name": "summarize"}), "/capabilities?name=summarize"),
    ] {
        let (mut by_tool, mut by_route) = (
            registry.post(&format!("/mcp/tools/{tool}"), &arguments).await.ok(),
            registry.get(target).await.ok(),
        );
        for answer in [&mut by_tool, &mut by_route] {
            answer["timestamp"].take();
        }
        assert_eq!(by_tool, by_route);
    }
    assert_eq!(
        registry.post("/mcp/tools/get_agent_status", &json!({"agent_id": "quiet"})).await.ok()["status"],
        "pending"
    );
    let message = registry
        .post("/mcp/tools/discover_services", &json!({"nmae": "x"}))
        .await
        .error(400, "validation_failed");
    assert!(message.contains("did you mean 'name'?"), "{message}");
}
