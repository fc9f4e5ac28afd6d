//! The registry as the official Rust SDK sees it, in both of the SDK's lifecycles.

use mesh_tests::registry::TestRegistry;
use mesh_tests::wait::{PATIENCE, until};
use rmcp::model::{CallToolRequestParams, CallToolResult, ClientConfig, ErrorCode, ProtocolVersion};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

type Client = RunningService<RoleClient, ClientConfig>;

/// The lifecycles, each with the revision that comes of it.
fn lifecycles() -> [(ClientLifecycleMode, ProtocolVersion); 2] {
    let current = ProtocolVersion::V_2026_07_28;
    [
        (ClientLifecycleMode::Initialize, ProtocolVersion::V_2025_11_25),
        (ClientLifecycleMode::Discover { preferred_versions: vec![current.clone()] }, current),
    ]
}

async fn connect(registry: &TestRegistry, lifecycle: ClientLifecycleMode) -> Client {
    // The SDK's own HTTP client opens a connection for every request; this one keeps them, as a client should.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", registry.url()));
    let transport = StreamableHttpClientTransport::with_client(reqwest::Client::new(), config);
    let connecting = ClientConfig::default().serve_with_lifecycle(transport, lifecycle);
    timeout(PATIENCE, connecting).await.expect("it ends").expect("the registry is an MCP server")
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> Result<CallToolResult, ServiceError> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let call = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments));
    timeout(PATIENCE, call).await.expect("the call ends")
}

fn text(result: &CallToolResult) -> Value {
    serde_json::from_str(&result.content[0].as_text().expect("a text").text).expect("the text is JSON")
}

/// What a call that must succeed answers.
async fn done(client: &Client, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await.expect("the call is answered");
    assert_eq!((result.is_error, &result.structured_content), (Some(false), &Some(text(&result))), "{tool}");
    text(&result)
}

/// The code of the error that a call must be answered with.
async fn refused(client: &Client, tool: &'static str, arguments: Value) -> String {
    let result = call(client, tool, arguments).await.expect("the call is answered");
    assert_eq!((result.is_error, &result.structured_content), (Some(true), &None), "{tool}");
    text(&result)["code"].as_str().expect("an error body").to_owned()
}

#[tokio::test]
async fn every_tool_can_be_listed_and_called_in_both_lifecycles() {
    let registry = TestRegistry::in_memory().await;
    for (lifecycle, revision) in lifecycles() {
        let client = connect(&registry, lifecycle).await;
        let server = client.peer_info().expect("the server says who it is");
        assert_eq!(server.protocol_version, revision);
        let tools = client.list_all_tools().await.expect("a list");
        let names = tools.iter().map(|tool| tool.name.as_ref()).collect::<Vec<_>>();
        assert_eq!(
            names,
            [
                "discover_services",
                "get_agent_status",
                "heartbeat",
                "list_capabilities",
                "register_agent",
                "unregister_agent"
            ]
        );
        assert!(tools.iter().all(|tool| tool.output_schema.is_some() && tool.annotations.is_some()));

        let agent =
            json!({"id": "a", "endpoint": "http://127.0.0.1:9/mcp", "capabilities": [{"name": "work"}]});
        done(&client, "register_agent", json!({"registration_data": agent})).await;
        assert_eq!(registry.status_of("a").await, "pending");
        done(&client, "heartbeat", json!({"agent_id": "a"})).await;
        assert_eq!(done(&client, "get_agent_status", json!({"agent_id": "a"})).await["status"], "healthy");
        assert_eq!(
            done(&client, "discover_services", json!({"capability": "work"})).await["agents"][0]["id"],
            "a"
        );
        let found = done(&client, "list_capabilities", json!({"name": "work"})).await;
        assert_eq!(found["capabilities"][0]["agent_endpoint"], "http://127.0.0.1:9/mcp");
        done(&client, "unregister_agent", json!({"agent_id": "a"})).await;
        assert_eq!(registry.status_of("a").await, "");
    }
    assert!(registry.is_well().await);
}

#[tokio::test]
async fn faults_are_results_and_unknown_tools_are_errors_in_both_lifecycles() {
    let registry = TestRegistry::in_memory().await;
    for (lifecycle, revision) in lifecycles() {
        let client = connect(&registry, lifecycle).await;
        assert_eq!(
            refused(&client, "get_agent_status", json!({"agent_id": "ghost"})).await,
            "agent_not_found"
        );
        assert_eq!(refused(&client, "register_agent", json!({})).await, "validation_failed");
        assert_eq!(refused(&client, "discover_services", json!({"limit": 501})).await, "validation_failed");
        match call(&client, "no_such_tool", json!({})).await {
            Err(ServiceError::McpError(error)) => assert_eq!(error.code, ErrorCode::INVALID_PARAMS),
            other => panic!("{revision:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_goes_on_with_the_registry_that_took_the_place_of_the_one_it_greeted() {
    for (lifecycle, _) in lifecycles() {
        let mut first = TestRegistry::in_memory().await;
        let client = connect(&first, lifecycle).await;
        done(&client, "discover_services", json!({})).await;
        first.program.kill().await;
        let _second = TestRegistry::start(&first.address.to_string(), "memory:", &[]).await;
        let found = until("the second registry answers", async || {
            call(&client, "discover_services", json!({})).await.ok()
        });
        assert_eq!(found.await.structured_content.expect("structure")["total"], 0);
    }
}
