//! What nobody here understands passes byte for byte, in every way in which a call can go.

use mesh_tests::exchange;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::{TestSidecar, manifest};
use mesh_tests::verbatim::{RESULT, VerbatimAgent};
use serde_json::json;

const ARGUMENTS: &str = r#"{"z" : 1.50,"a":[1e2,  {"unknown":null}],"t":"\u00e4","n":18446744073709551616}"#;
const PARAMETER: &str = r#""future":{"b" : [ ],"a":1e2}"#;
const META: &str = r#""some.vendor/thing":{"y":1.0,"x" : "\u00e4"}"#;

#[tokio::test]
async fn arguments_parameters_and_results_keep_their_bytes_on_every_way() {
    for (is_current, has_port) in [(true, false), (true, true), (false, false), (false, true)] {
        let registry = TestRegistry::in_memory().await;
        let agent = VerbatimAgent::start(is_current).await;
        let described = manifest("a", &agent.endpoint(), "work", false);
        let _beside = match has_port {
            true => TestSidecar::with_port(&registry, &described, &[]).await.0,
            false => TestSidecar::beside(&registry, &described).await,
        };
        let caller = TestSidecar::caller(&registry, &[]).await;
        let way = format!("current: {is_current}, port: {has_port}");
        let answer =
            exchange::send(caller.address, "POST", "/call/work", &[], ARGUMENTS.as_bytes()).await.unwrap();
        assert!(answer.text().contains(RESULT), "{way}: {}", answer.text());
        assert!(agent.called().contains(ARGUMENTS), "{way}: {}", agent.called());
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"work",{PARAMETER},"arguments":{ARGUMENTS},"_meta":{{{version},{META}}}}}}}"#
        );
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "work"),
        ];
        let answer = exchange::send(caller.address, "POST", "/mcp", &headers, body.as_bytes()).await.unwrap();
        assert!(answer.text().contains(RESULT), "{way}: {}", answer.text());
        for part in [ARGUMENTS, PARAMETER, META] {
            assert!(agent.called().contains(part), "{way}: {part} in {}", agent.called());
        }
        assert_eq!(answer.json()["id"], json!(1), "{way}");
    }
}
