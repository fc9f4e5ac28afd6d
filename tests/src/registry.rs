//! The real registry on a free port.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::exchange::{self, Answer};
use crate::program::Program;

/// The log line with which a registry says where it is.
const LISTENING: &str = "mesh-registry is listening";

/// The registry as a program.
pub const BINARY: &str = "registry-under-test";

/// A running registry.
#[derive(Debug)]
pub struct TestRegistry {
    /// The process.
    pub program: Program,
    /// Where it is.
    pub address: SocketAddr,
}

impl TestRegistry {
    /// Starts one that keeps nothing.
    pub async fn in_memory() -> Self {
        Self::start("127.0.0.1:0", "memory:", &[]).await
    }

    /// Starts one with this address, store and settings.
    pub async fn start(listen: &str, store: &str, more: &[&str]) -> Self {
        let arguments = [&["--listen", listen, "--store", store], more].concat();
        Self::of(Program::start(BINARY, &arguments, &[])).await
    }

    /// A registry that was started in another way; waits until it listens.
    pub async fn of(mut program: Program) -> Self {
        let address = program.address(LISTENING).await;
        Self { program, address }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// GET of `target`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn get(&self, target: &str) -> Answer {
        exchange::get(self.address, target).await.expect("the registry answers")
    }

    /// POST of JSON to `target`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        exchange::post(self.address, target, body).await.expect("the registry answers")
    }

    /// Registers the agent `id` at `endpoint` with one capability and what `more` adds, and lets it be heard.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub async fn offer(&self, id: &str, endpoint: &str, capability: &Value, more: &Value) {
        let mut agent = json!({"id": id, "endpoint": endpoint, "capabilities": [capability],
            "health_interval": 600.0, "timeout_threshold": 1_800.0, "eviction_threshold": 3_600.0});
        for (key, value) in more.as_object().into_iter().flatten() {
            agent[key] = value.clone();
        }
        let answer = self.post("/agents", &agent).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = self.post("/heartbeat", &json!({"agent_id": id})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Whether it is alive and nothing in it has panicked.
    pub async fn is_well(&self) -> bool {
        self.get("/livez").await.status == 200 && !self.program.printed().contains("panicked")
    }

    /// The status of an agent, empty when it is unknown.
    pub async fn status_of(&self, id: &str) -> String {
        let agent = self.get(&format!("/agents/{id}")).await.json();
        agent["status"].as_str().filter(|_| agent["id"] == id).unwrap_or_default().to_owned()
    }
}
