//! Clients of the sidecar's `POST /mcp` are told when the tools of the mesh change, and only then.

use mesh_tests::registry::TestRegistry;
use mesh_tests::scripted::{ScriptedAgent, Speech};
use mesh_tests::sidecar::TestSidecar;
use mesh_tests::wait::{PATIENCE, until};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::mesh_as_tools::{listed, open, request};

/// A stream of events that is read piece by piece.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    fn of(response: Response) -> Self {
        Self { response, text: String::new() }
    }

    /// The next message.
    async fn message(&mut self) -> Value {
        timeout(PATIENCE, self.read()).await.expect("a message comes").expect("the stream goes on")
    }

    /// The next message; none when the stream has ended.
    async fn read(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let message = data.map(|data| serde_json::from_str(data).expect("JSON"));
                self.text = rest.to_owned();
                if message.is_some() {
                    return message;
                }
            }
            let piece = self.response.chunk().await.ok()??;
            self.text.push_str(std::str::from_utf8(&piece).expect("text"));
        }
    }
}

#[tokio::test]
async fn listeners_of_every_era_hear_of_a_new_tool_at_once() {
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    registry.offer("a", &agent.endpoint(), &json!({"name": "one"}), &json!({})).await;
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(listed(&sidecar).await.0, ["one"]);
    let listen = request(true, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut current = Stream::of(open(&sidecar, true, &listen).await);
    let opening = current.message().await;
    assert_eq!(opening["method"], "notifications/subscriptions/acknowledged");
    let get = mesh_tests::http::client().get(format!("http://{}/mcp", sidecar.address));
    let get = get.header("accept", "text/event-stream").header("mcp-session-id", "s-1").send();
    let mut older =
        Stream::of(timeout(PATIENCE, get).await.expect("it begins").expect("the sidecar answers"));
    assert_eq!(older.response.status(), 200);

    registry.offer("b", &agent.endpoint(), &json!({"name": "two"}), &json!({})).await;
    let notice = current.message().await;
    assert_eq!(notice["method"], "notifications/tools/list_changed");
    assert_eq!(notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "q-1");
    assert_eq!(
        older.message().await,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    assert_eq!(listed(&sidecar).await.0, ["one", "two"]);

    // A sidecar that goes away ends the streams at once, with an answer for whoever has asked for one.
    sidecar.program.terminate().await;
    assert_eq!(current.message().await["result"]["resultType"], "complete");
    assert_eq!(timeout(PATIENCE, older.read()).await.expect("it ends"), None);
}

#[tokio::test]
async fn the_list_stays_while_agents_come_and_go_and_while_the_registry_is_away() {
    let mut registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    for id in ["a", "b"] {
        registry.offer(id, &agent.endpoint(), &json!({"name": "work"}), &json!({})).await;
    }
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    assert_eq!(listed(&sidecar).await.0, ["work"]);
    let listen = request(true, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut stream = Stream::of(open(&sidecar, true, &listen).await);
    stream.message().await;
    // One of two leaves, the other one falls ill: nothing that a list of tools would tell.
    registry.post("/mcp/tools/unregister_agent", &json!({"agent_id": "a"})).await;
    registry.post("/heartbeat", &json!({"agent_id": "b", "status": "degraded"})).await;
    until("b is degraded", async || (registry.status_of("b").await == "degraded").then_some(())).await;
    registry.program.kill().await;
    assert_eq!(listed(&sidecar).await.0, ["work"]);
    // Had there been a notice, it would be the next message; so the next one is the end.
    sidecar.program.terminate().await;
    assert_eq!(stream.message().await["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_client_that_comes_before_the_registry_is_told_why_there_is_no_list() {
    let sidecar = TestSidecar::start("http://127.0.0.1:9", None, &[]).await;
    let answer = super::mesh_as_tools::ask(&sidecar, true, "tools/list", json!({})).await;
    assert_eq!(answer["error"]["code"], -32603);
    assert!(answer["error"]["message"].as_str().expect("a text").contains("registry"), "{answer}");
}
