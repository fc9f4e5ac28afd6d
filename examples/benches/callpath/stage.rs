//! Who plays: the upstream agent, a registry that knows it, and one server for each subject.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Uri;
use mesh_examples::loadgen::drive::{Ask, Driver};
use mesh_examples::loadgen::fill::{AGENTS, HEARTBEAT, heartbeat};
use mesh_examples::loadgen::server::Server;
use mesh_examples::loadgen::wire::{Base, Connection};
use serde_json::json;
use tokio::process::Command;

use crate::plan::Plan;
use crate::subject::{CAPABILITY, Kind, Subject};
use crate::{thin, upstream};

/// Time for the registry to be ready, and pause between two looks at it.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// Seconds for which the upstream counts as healthy without being heard again: longer than any run.
const HEALTH_INTERVAL: u32 = 3_600;
/// The id of the upstream agent.
const AGENT: &str = "upstream";

/// What all subjects share.
pub(crate) struct Stage {
    registry: Server,
    upstream: Server,
    /// This program, which is the upstream and the thin proxy, too.
    this: PathBuf,
    sidecar: PathBuf,
}

/// The request of a subject, and its one good answer.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    target: Uri,
    body: Bytes,
    answer: Bytes,
}

impl Stage {
    /// Starts the upstream and a registry, and makes them known to each other.
    pub(crate) async fn set(plan: &Plan) -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("the benchmark does not know where it lies")?;
        let upstream = Server::start(&this, &[upstream::JOB]).await?;
        let registry = Server::registry(&plan.registry, "memory:", &[]).await?;
        register(&registry.base, &upstream.base).await?;
        Ok(Self { registry, upstream, this, sidecar: plan.sidecar.clone() })
    }

    /// The program of a subject and what is on its command line; the upstream is there already.
    pub(crate) fn program(&self, subject: &Subject) -> Option<(PathBuf, Vec<String>)> {
        let upstream = self.upstream.base.to_string();
        match subject.server {
            Kind::Upstream => None,
            Kind::Thin => {
                let authority = upstream.trim_start_matches("http://").to_owned();
                Some((self.this.clone(), vec![thin::JOB.to_owned(), authority]))
            }
            Kind::Sidecar(settings) => {
                let registry = self.registry.base.to_string();
                let fixed = ["--listen", "127.0.0.1:0", "--registry", &registry];
                let all = fixed.iter().chain(settings).map(|&word| word.to_owned());
                Some((self.sidecar.clone(), all.collect()))
            }
        }
    }

    /// Starts the server of a subject, if it is not the upstream.
    pub(crate) async fn start(&self, subject: &Subject) -> anyhow::Result<Option<Server>> {
        let Some((program, arguments)) = self.program(subject) else { return Ok(None) };
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(Some(Server::run(command).await?))
    }

    /// The upstream.
    pub(crate) fn upstream(&self) -> &Server {
        &self.upstream
    }
}

/// Registers the upstream with the registry and lets it be heard once, so that it is healthy.
async fn register(registry: &Base, upstream: &Base) -> anyhow::Result<()> {
    let mut connection = Connection::to(registry);
    let began = Instant::now();
    while connection.fetch(&Uri::from_static("/readyz")).await.is_err() {
        ensure!(began.elapsed() < PATIENCE, "the registry is not ready in time");
        tokio::time::sleep(LOOK).await;
    }
    let document = json!({
        "id": AGENT, "endpoint": format!("{upstream}{}", upstream::PATH), "health_interval": HEALTH_INTERVAL,
        "capabilities": [{"name": CAPABILITY, "version": "1.0.0"}],
    });
    connection.post(&Uri::from_static(AGENTS), document.to_string().into()).await?;
    connection.post(&Uri::from_static(HEARTBEAT), heartbeat(AGENT).to_string().into()).await?;
    Ok(())
}

/// Opens connections over which `subject` is asked at `base`, and asks once over each.
pub(crate) async fn connect(
    subject: &Subject,
    base: &Base,
    connections: usize,
) -> anyhow::Result<Driver<Call>> {
    let call = Call {
        target: Uri::from_static(subject.path),
        body: Bytes::from_static(subject.body.as_bytes()),
        answer: Bytes::from_static(subject.answer.as_bytes()),
    };
    Driver::connect(base, vec![call], connections).await
}

impl Ask for Call {
    async fn ask(&self, connection: &mut Connection) -> anyhow::Result<usize> {
        let body = connection.post(&self.target, self.body.clone()).await?.body;
        ensure!(body == self.answer, "{} is answered with {}", self.target, String::from_utf8_lossy(&body));
        Ok(body.len())
    }
}
