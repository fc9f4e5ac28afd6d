//! The real sidecar on a free port, with a manifest of its own.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;

use crate::exchange::{self, Answer};
use crate::program::Program;
use crate::registry::TestRegistry;
use crate::wait::until;

/// The log line with which a sidecar says where it is.
const LISTENING: &str = "mesh-sidecar is listening";
/// The log line with which it says where peers reach its agent.
const INBOUND: &str = "peers reach our agent through the inbound port";

/// A running sidecar.
#[derive(Debug)]
pub struct TestSidecar {
    /// The process.
    pub program: Program,
    /// Its localhost port.
    pub address: SocketAddr,
    _folder: TempDir,
}

/// A manifest for an agent at `endpoint` that offers `capability`, safe to repeat or not.
pub fn manifest(id: &str, endpoint: &str, capability: &str, is_safe: bool) -> String {
    format!(
        "id: {id}\nendpoint: {endpoint}\nhealth_interval: 1s\nhealth: {{interval: 200ms}}\n\
         capabilities:\n  - name: {capability}\n    annotations: {{idempotentHint: {is_safe}}}\n"
    )
}

impl TestSidecar {
    /// Starts one beside an agent and waits until the mesh can reach the agent.
    pub async fn beside(registry: &TestRegistry, manifest: &str) -> Self {
        let sidecar = Self::start(&registry.url(), Some(manifest), &[]).await;
        sidecar.ready().await;
        sidecar
    }

    /// The same with a port for peers, whose address comes with it, and these settings.
    pub async fn with_port(registry: &TestRegistry, manifest: &str, more: &[&str]) -> (Self, SocketAddr) {
        let more = [&["--inbound", "127.0.0.1:0"], more].concat();
        let mut sidecar = Self::start(&registry.url(), Some(manifest), &more).await;
        let inbound = sidecar.program.address(INBOUND).await;
        sidecar.ready().await;
        (sidecar, inbound)
    }

    /// Starts one that only makes calls.
    pub async fn caller(registry: &TestRegistry, more: &[&str]) -> Self {
        Self::start(&registry.url(), None, more).await
    }

    /// Starts one with these registries, this manifest and these settings.
    ///
    /// # Panics
    /// When its manifest cannot be written.
    pub async fn start(registry: &str, manifest: Option<&str>, more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("manifest.yaml");
        let path = file.to_string_lossy().into_owned();
        let mut arguments = vec!["--registry", registry, "--listen", "127.0.0.1:0"];
        if let Some(manifest) = manifest {
            std::fs::write(&file, manifest).expect("the manifest is written");
            arguments.extend(["--manifest", &path]);
        }
        arguments.extend(more);
        let mut program = Program::start("sidecar-under-test", &arguments, &[]);
        let address = program.address(LISTENING).await;
        Self { program, address, _folder: folder }
    }

    /// Waits until its agent is registered.
    pub async fn ready(&self) {
        until("the sidecar is ready", async || {
            let answer = exchange::get(self.address, "/readyz").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Calls `capability`, which may have a query, with these arguments.
    ///
    /// # Panics
    /// When the sidecar does not answer.
    pub async fn call(&self, capability: &str, arguments: &Value) -> Answer {
        exchange::post(self.address, &format!("/call/{capability}"), arguments)
            .await
            .expect("the sidecar answers")
    }

    /// GET of `target`.
    ///
    /// # Panics
    /// When the sidecar does not answer.
    pub async fn get(&self, target: &str) -> Answer {
        exchange::get(self.address, target).await.expect("the sidecar answers")
    }
}
