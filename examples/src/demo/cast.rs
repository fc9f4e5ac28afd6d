//! The processes of the demo: each part is the demo's own executable under another name.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::program;

/// Time for a part to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The programs of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `mesh-registry`.
    Registry,
    /// `mesh-sidecar`.
    Sidecar,
    /// `example-agent`.
    Agent,
}

/// A running part.
#[derive(Debug)]
pub struct Actor {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

/// A log line of a part.
#[derive(Debug)]
pub struct Said {
    /// Who said it.
    pub name: String,
    /// What it said.
    pub line: Value,
}

impl Part {
    const ALL: [Self; 3] = [Self::Registry, Self::Sidecar, Self::Agent];

    /// The program's name, which is also the first argument that makes the demo play it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registry => "mesh-registry",
            Self::Sidecar => "mesh-sidecar",
            Self::Agent => "example-agent",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// Plays the part if the first of `arguments` names one: so one executable is all programs of the mesh.
    ///
    /// # Errors
    /// The arguments, when they name no part.
    pub fn play(mut arguments: Vec<OsString>) -> Result<ExitCode, Vec<OsString>> {
        let part = arguments.get(1).and_then(|name| Self::from_name(name.to_str()?));
        let Some(part) = part else { return Err(arguments) };
        arguments.remove(0);
        Ok(match part {
            Self::Registry => mesh_registry::program::main(arguments),
            Self::Sidecar => mesh_sidecar::program::main(arguments),
            Self::Agent => program::main(arguments),
        })
    }

    /// Starts the part; its log lines go to `said` under `name`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(
        self,
        name: &str,
        arguments: &[&str],
        said: mpsc::UnboundedSender<Said>,
    ) -> anyhow::Result<Actor> {
        let this = std::env::current_exe().context("the demo does not know where it lies")?;
        let mut command = Command::new(this);
        command.arg(self.name()).args(arguments).env_remove("RUST_LOG").kill_on_drop(true);
        // Ctrl-C goes to the demo, which ends its parts itself.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let stdout = child.stdout.take().context("a part has an output")?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = timeout(START_LIMIT, address_in(&mut lines)).await;
        let address = listening.with_context(|| format!("{name} did not start in time"))??;
        let name = name.to_owned();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or_default();
                let _ = said.send(Said { name: name.clone(), line });
            }
        });
        Ok(Actor { address, child })
    }
}

impl Actor {
    /// Ends it without a warning, as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("a part cannot be killed")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}

/// A configuration file for a part.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let file = folder.join(name);
    std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file.to_string_lossy().into_owned())
}

/// The address in the first line that names one: a JSON log line, or an agent's own words.
async fn address_in(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<SocketAddr> {
    while let Some(line) = lines.next_line().await? {
        let json: Value = serde_json::from_str(&line).unwrap_or_default();
        let named = json["address"].as_str().filter(|_| json["message"].as_str().is_some_and(is_listening));
        let spoken = line.strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix("/mcp"));
        if let Some(address) = named.or(spoken) {
            return Ok(address.parse()?);
        }
    }
    bail!("it ended before it listened")
}

fn is_listening(message: &str) -> bool {
    message.ends_with("is listening")
}
