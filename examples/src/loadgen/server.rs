//! A server that is measured, as a child process that ends with whoever started it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::process::Process;
use super::wire::Base;

/// Time for a server to say where it listens: one that first loads a million agents needs its time, and so does a floor
/// that first asks a slow registry a thousand questions.
const START_LIMIT: Duration = Duration::from_secs(600);
/// Time for a server to end that is asked to: for one under a tool that counts, much more than it takes.
const END_LIMIT: Duration = Duration::from_secs(120);
/// What a server logs: its address, which is needed, and troubles. A line for each of a million registrations would
/// measure the pipe.
const LOG_FILTER: &str = "warn,mesh_registry::server=info";
/// How the floor says where it listens.
pub const LISTENING: &str = "listening on http://";

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub base: Base,
    /// What it costs.
    pub process: Process,
    child: Child,
}

impl Server {
    /// Starts `program` and waits until it says where it listens.
    ///
    /// # Errors
    /// When it does not start, or says nothing in time.
    pub async fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).env("RUST_LOG", LOG_FILTER);
        Self::run(command).await
    }

    /// Starts a command as it stands and waits until it says where it listens.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn run(mut command: Command) -> anyhow::Result<Self> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let process = Process(child.id().context("it has only been started")?);
        let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        let listening = timeout(START_LIMIT, address_in(&mut lines)).await;
        let address = listening.with_context(|| format!("{name} did not start in time"))?;
        let base = Base::from(address.with_context(|| format!("{name} did not start"))?);
        // A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { base, process, child })
    }

    /// Starts a registry on a free port that keeps its agents in `store`, with `more` on its command line.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn registry(program: &Path, store: &str, more: &[&str]) -> anyhow::Result<Self> {
        Self::start(program, &[&["--listen", "127.0.0.1:0", "--store", store], more].concat()).await
    }

    /// Ends it without a warning and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("a server cannot be killed")
    }

    /// Asks it to end, as a supervisor does, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be asked, or does not end.
    pub async fn terminate(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").arg(self.process.0.to_string()).status().await?;
        ensure!(asked.success(), "process {} cannot be asked to end", self.process.0);
        let ended = timeout(END_LIMIT, self.child.wait()).await;
        ended.with_context(|| format!("process {} does not end", self.process.0))??;
        Ok(())
    }
}

/// The address in the first line that names one: a JSON log line of a registry, or the floor's own words.
async fn address_in(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<SocketAddr> {
    while let Some(line) = lines.next_line().await? {
        let json: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = json["address"].as_str().or(line.strip_prefix(LISTENING)) {
            return Ok(address.parse()?);
        }
    }
    bail!("it ended before it listened")
}
