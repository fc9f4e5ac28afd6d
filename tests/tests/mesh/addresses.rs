//! What a sidecar does not call, whatever the registry says, and whom it does not serve.

use mesh_tests::program::run;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::web::WebAgent;
use serde_json::json;

#[tokio::test]
async fn endpoints_where_no_agent_lives_are_refused_and_the_reason_is_told() {
    let registry = TestRegistry::in_memory().await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    let own = format!("http://{}/mcp", caller.address);
    let endpoints = [
        ("http://169.254.169.254/mcp", "link-local"),
        ("http://[fe80::1]/mcp", "link-local"),
        ("http://[::ffff:169.254.169.254]/mcp", "link-local"),
        ("http://100.100.100.200/mcp", "metadata service"),
        ("http://224.0.0.1/mcp", "multicast"),
        ("http://0.0.0.0:80/mcp", "unspecified"),
        (own.as_str(), "this sidecar itself"),
    ];
    for (i, (endpoint, reason)) in endpoints.into_iter().enumerate() {
        let capability = format!("work_{i}");
        registry.offer(&format!("a{i}"), endpoint, &json!({"name": capability}), &json!({})).await;
        for path in [format!("/call/{capability}"), format!("/proxy/{capability}/x")] {
            let answer = mesh_tests::exchange::post(caller.address, &path, &json!({})).await.unwrap();
            assert_eq!(answer.status, 503, "{endpoint}: {}", answer.text());
            assert!(answer.text().contains(reason), "{endpoint}: {}", answer.text());
        }
        let explanation = caller.get(&format!("/explain/{capability}")).await.json();
        let candidate = &explanation["candidates"][0];
        assert_eq!(candidate["verdict"], "forbidden", "{explanation}");
        assert!(candidate["last_fault"].as_str().unwrap().contains(reason), "{explanation}");
    }
}

#[tokio::test]
async fn an_operator_allows_and_denies_networks() {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("web").await;
    registry.offer("web", &agent.endpoint(), &json!({"name": "web"}), &json!({})).await;
    let by_name = format!("http://localhost:{}/mcp", agent.address.port());
    registry.offer("named", &by_name, &json!({"name": "named"}), &json!({})).await;
    for (settings, is_served, reason) in [
        (&["--allow-endpoints", "127.0.0.0/8,::1"][..], true, ""),
        (&["--allow-endpoints", "10.0.0.0/8"], false, "allow_endpoints"),
        (&["--deny-endpoints", "127.0.0.1,::1"], false, "deny_endpoints"),
        (
            &["--allow-endpoints", "127.0.0.1", "--deny-endpoints", "127.0.0.0/8,::/0"],
            false,
            "deny_endpoints",
        ),
    ] {
        let caller = TestSidecar::caller(&registry, settings).await;
        // A name is judged by what it resolves to.
        for capability in ["web", "named"] {
            let answer = caller.get(&format!("/proxy/{capability}/")).await;
            assert_eq!(answer.status == 200, is_served, "{settings:?} {capability}: {}", answer.text());
            assert!(
                is_served || answer.text().contains(reason),
                "{settings:?} {capability}: {}",
                answer.text()
            );
            let explanation = caller.get(&format!("/explain/{capability}")).await.text();
            assert!(is_served || explanation.contains(reason), "{explanation}");
        }
    }
}

#[tokio::test]
async fn redirects_are_passed_on_and_not_followed() {
    let registry = TestRegistry::in_memory().await;
    let agent = WebAgent::start("web").await;
    registry.offer("web", &agent.endpoint(), &json!({"name": "web"}), &json!({})).await;
    let caller = TestSidecar::caller(&registry, &[]).await;
    assert_eq!((caller.get("/proxy/web/status/302").await.status, agent.requests()), (302, 1));
}

#[tokio::test]
async fn the_port_of_the_agent_is_on_a_loopback_address_or_nowhere() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:15001"] {
        let (code, text) = run("sidecar-under-test", &["--listen", address]).await;
        assert_eq!(code, Some(64), "{text}");
        assert!(text.contains("must be a loopback address") && text.contains(address), "{text}");
    }
    let (code, text) = run("sidecar-under-test", &["--check", "--deny-endpoints", "10.0.0.0/33"]).await;
    assert!(code != Some(0) && text.contains("is no network"), "{text}");
}
