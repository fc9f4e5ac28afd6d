//! The example agent, a real MCP server on the official SDK, as a process.

use std::net::SocketAddr;

use crate::exchange;
use crate::program::Program;

/// A running example agent.
#[derive(Debug)]
pub struct TestAgent {
    /// The process.
    pub program: Program,
    /// Where it is.
    pub address: SocketAddr,
}

impl TestAgent {
    /// Starts one that calls itself `name`, on a free port.
    pub async fn start(name: &str, more: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", name, more).await
    }

    /// Starts one at an address that is known before.
    pub async fn start_at(listen: &str, name: &str, more: &[&str]) -> Self {
        let arguments = [&["--listen", listen, "--name", name], more].concat();
        let mut program = Program::start("agent-under-test", &arguments, &[]);
        let address = program
            .line("the agent listens", |line| {
                line.strip_prefix("listening on http://")?.strip_suffix("/mcp")?.parse().ok()
            })
            .await;
        Self { program, address }
    }

    /// The URL of its MCP endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Takes one of its tools away while it runs, or puts it back.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn offers(&self, tool: &str, is_offered: bool) {
        let method = if is_offered { "PUT" } else { "DELETE" };
        let answer = exchange::send(self.address, method, &format!("/tools/{tool}"), &[], b"").await;
        assert_eq!(answer.expect("the agent answers").status, 200);
    }
}
