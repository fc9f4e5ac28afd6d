//! A registry that is sent rubbish, and must be well after each piece of it.

use mesh_tests::exchange::{self, Answer};
use mesh_tests::registry::TestRegistry;
use serde_json::Value;

/// The registry that is sent rubbish.
pub(super) struct Victim {
    pub(super) registry: TestRegistry,
}

impl Victim {
    pub(super) async fn start() -> Self {
        Self { registry: TestRegistry::in_memory().await }
    }

    /// Sends bytes as they are; `None` when the connection is closed without an answer.
    pub(super) async fn raw(&self, bytes: &[u8]) -> Option<Answer> {
        let answer = exchange::raw(self.registry.address, bytes).await;
        self.is_well().await;
        match answer {
            Err(fault) if fault.kind() == std::io::ErrorKind::TimedOut => {
                panic!("neither answered nor closed")
            }
            answer => answer.ok(),
        }
    }

    /// Sends a request that must be refused with this status, as JSON of the one shape with this code; returns what
    /// the answer says.
    pub(super) async fn refused(
        &self,
        request: (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        (status, code): (u16, &str),
    ) -> Value {
        let (method, target) = request;
        let answer = exchange::send(self.registry.address, method, target, headers, body).await;
        self.is_well().await;
        expect_error(&answer.expect("every request is answered"), status, code)
    }

    /// Posts bytes that say that they are JSON and must be refused.
    pub(super) async fn refused_json(&self, target: &str, body: &[u8], code: &str) -> Value {
        self.refused(("POST", target), &[("Content-Type", "application/json")], body, (400, code)).await
    }

    pub(super) async fn is_well(&self) {
        assert!(self.registry.is_well().await, "{}", self.registry.program.printed());
    }
}

/// Checks that an answer is an error of the one shape, and returns it.
pub(super) fn expect_error(answer: &Answer, status: u16, code: &str) -> Value {
    let said = answer.json();
    assert_eq!((answer.status, said["code"].as_str()), (status, Some(code)), "{}", answer.text());
    assert_eq!((&said["status"], answer.header("content-type")), (&Value::from("error"), "application/json"));
    assert!(said["error"].as_str().is_some_and(|error| !error.is_empty()) && said["error"] == said["detail"]);
    said
}
