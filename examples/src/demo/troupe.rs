//! Everybody who plays: a registry, three providers with their sidecars, and a caller.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::demo::cast::{self, Actor, Part, Said};
use crate::demo::traffic::Traffic;

/// What is called.
pub const CAPABILITY: &str = "summarize";
/// The providers.
pub const PROVIDERS: [&str; 3] = ["summarizer-a", "summarizer-b", "summarizer-c"];
/// Longest wait for the mesh to notice something.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at it.
pub const LOOK: Duration = Duration::from_millis(50);
/// Seconds for which a sidecar uses a discovery answer. Less than the default of 10, so that nobody has to wait to see
/// the mesh change its mind.
const DISCOVERY_FRESH: &str = "1";

/// Everybody who plays.
#[derive(Debug)]
pub struct Troupe {
    /// The registry.
    pub registry: Actor,
    /// The providers, in the order of [`PROVIDERS`].
    pub agents: Vec<Actor>,
    /// The sidecars beside them.
    pub sidecars: Vec<Actor>,
    /// The sidecar of the caller.
    pub caller: Actor,
    /// The caller.
    pub traffic: Traffic,
    /// When the caller's sidecar was started.
    pub caller_began: Instant,
    folder: TempDir,
    http: reqwest::Client,
    said: mpsc::UnboundedSender<Said>,
}

impl Troupe {
    /// Starts everybody and waits until the mesh can reach the providers.
    ///
    /// # Errors
    /// When somebody does not start.
    pub async fn assemble(folder: TempDir, said: mpsc::UnboundedSender<Said>) -> anyhow::Result<Self> {
        // reqwest takes the provider that is installed; only plain HTTP is spoken here.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let registry = start_registry(&folder, "127.0.0.1:0", &said).await?;
        let (mut agents, mut sidecars) = (Vec::new(), Vec::new());
        for name in PROVIDERS {
            let agent = start_agent(name, "127.0.0.1:0", &said).await?;
            sidecars.push(start_sidecar(&folder, name, Some(&agent), &registry, &said).await?);
            agents.push(agent);
        }
        for sidecar in &sidecars {
            ready(&http, sidecar).await?;
        }
        let caller_began = Instant::now();
        let caller = start_sidecar(&folder, "caller", None, &registry, &said).await?;
        let traffic = Traffic::new(http.clone(), caller.address, CAPABILITY);
        Ok(Self { registry, agents, sidecars, caller, traffic, caller_began, folder, http, said })
    }

    /// Starts the registry again where it was, with what it had.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart_registry(&mut self) -> anyhow::Result<()> {
        let address = self.registry.address.to_string();
        self.registry = start_registry(&self.folder, &address, &self.said).await?;
        Ok(())
    }

    /// Starts a provider again where it was.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart_agent(&mut self, index: usize) -> anyhow::Result<()> {
        let address = self.agents[index].address.to_string();
        self.agents[index] = start_agent(PROVIDERS[index], &address, &self.said).await?;
        Ok(())
    }

    /// Starts another sidecar that only makes calls.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_caller(
        &self,
        name: &str,
        said: &mpsc::UnboundedSender<Said>,
    ) -> anyhow::Result<Actor> {
        start_sidecar(&self.folder, name, None, &self.registry, said).await
    }

    /// A caller behind `sidecar`.
    pub fn traffic_at(&self, sidecar: &Actor) -> Traffic {
        Traffic::new(self.http.clone(), sidecar.address, CAPABILITY)
    }

    /// What the caller's sidecar says about the providers.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn explanation(&self) -> anyhow::Result<Value> {
        let url = format!("http://{}/explain/{CAPABILITY}", self.caller.address);
        Ok(self.http.get(url).send().await?.json().await?)
    }
}

/// Waits until the mesh can reach the agent beside `sidecar`.
async fn ready(http: &reqwest::Client, sidecar: &Actor) -> anyhow::Result<()> {
    let began = Instant::now();
    while !http.get(format!("http://{}/readyz", sidecar.address)).send().await?.status().is_success() {
        ensure!(began.elapsed() < PATIENCE, "an agent is not registered in time");
        sleep(LOOK).await;
    }
    Ok(())
}

async fn start_registry(
    folder: &TempDir,
    listen: &str,
    said: &mpsc::UnboundedSender<Said>,
) -> anyhow::Result<Actor> {
    let store = format!("file:{}", folder.path().join("registry").display());
    Part::Registry.start("registry", &["--listen", listen, "--store", &store], said.clone()).await
}

async fn start_agent(name: &str, listen: &str, said: &mpsc::UnboundedSender<Said>) -> anyhow::Result<Actor> {
    Part::Agent.start(name, &["--listen", listen, "--name", name, "--latency", "5"], said.clone()).await
}

async fn start_sidecar(
    folder: &TempDir,
    name: &str,
    agent: Option<&Actor>,
    registry: &Actor,
    said: &mpsc::UnboundedSender<Said>,
) -> anyhow::Result<Actor> {
    let registry = format!("http://{}", registry.address);
    let mut arguments =
        vec!["--listen", "127.0.0.1:0", "--registry", &registry, "--discovery-fresh", DISCOVERY_FRESH];
    let manifest = match agent {
        Some(agent) => Some(cast::write(folder.path(), &format!("{name}.yaml"), &manifest(name, agent))?),
        None => None,
    };
    arguments.extend(manifest.iter().flat_map(|file| ["--manifest", file.as_str()]));
    Part::Sidecar.start(name, &arguments, said.clone()).await
}

fn manifest(name: &str, agent: &Actor) -> String {
    format!(
        "id: {name}\nendpoint: http://{}/mcp\nlabels: {{demo: quickstart}}\nhealth_interval: 5s\n\
         health: {{path: /health, interval: 500ms}}\ncapabilities:\n  - name: {CAPABILITY}\n    version: 1.2.0\n    \
         description: Shortens a text to its most telling sentences.\n    category: text\n    \
         annotations: {{readOnlyHint: true}}\n",
        agent.address
    )
}
