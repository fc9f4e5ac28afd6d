//! What one request takes in instructions and system calls: the same on every machine, and however busy it is.
//!
//! A server is started twice under a tool that counts, and asked over one connection, so many times and then more often:
//! the difference is that of the requests alone. With one worker thread, as otherwise it would be chance which thread
//! wakes which.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use mesh_examples::loadgen::meter::{Counts, Meter};
use mesh_examples::loadgen::server::Server;
use tempfile::TempDir;

use crate::plan::Plan;
use crate::stage::{Stage, connect};
use crate::subject::Subject;

/// How many worker threads the runtime of a program has.
const WORKERS: &str = "TOKIO_WORKER_THREADS";

/// Counts for one request, or why there are none.
pub(crate) enum Counted {
    /// They were taken.
    Each(Counts),
    /// The server is not ours to start.
    Nothing,
    /// This tool is not there.
    Missing(&'static str),
    /// The tool does not work here.
    Failed(String),
}

/// Counts what a request to `subject` takes. A tool that is missing or may not work here is said and fails nothing.
pub(crate) async fn count(
    meter: Meter,
    stage: &Stage,
    subject: &Subject,
    plan: &Plan,
) -> anyhow::Result<Counted> {
    if stage.program(subject).is_none() {
        return Ok(Counted::Nothing);
    }
    if !meter.is_there().await {
        return Ok(Counted::Missing(meter.tool()));
    }
    let (few, many) = plan.counted;
    let (folder, mut runs) = (TempDir::new()?, Vec::new());
    for requests in [few, many] {
        let file = folder.path().join(requests.to_string());
        match run(meter, stage, subject, requests, &file).await? {
            Counted::Each(counts) => runs.push(counts),
            other => return Ok(other),
        }
        keep(meter, subject, plan, &file).context("the profile cannot be kept")?;
    }
    Ok(Counted::Each(runs[1].of_each(&runs[0], many - few)?))
}

/// Counts everything from the start of the server to its end.
async fn run(
    meter: Meter,
    stage: &Stage,
    subject: &Subject,
    requests: u64,
    file: &Path,
) -> anyhow::Result<Counted> {
    let Some((program, arguments)) = stage.program(subject) else { return Ok(Counted::Nothing) };
    let mut command = meter.command(file, &program, &arguments);
    command.env(WORKERS, "1");
    let failed = |fault: anyhow::Error| Counted::Failed(format!("{} failed: {fault:#}", meter.tool()));
    let server = match Server::run(command).await {
        Ok(server) => server,
        Err(fault) => return Ok(failed(fault)),
    };
    let mut driver = connect(subject, &server.base, 1).await?;
    let outcome = driver.times(requests).await?;
    let reason = outcome.first_error.unwrap_or_default();
    ensure!(outcome.errors == 0, "{} under {}: {reason}", subject.title, meter.tool());
    // Its connection first: a server that is asked to end waits for those that are open.
    drop(driver);
    server.terminate().await?;
    Ok(meter.read(file).await.map_or_else(failed, Counted::Each))
}

impl Counted {
    /// All together, with so many digits, or why there is nothing.
    pub(crate) fn cell(&self, digits: usize) -> String {
        match self {
            Self::Each(counts) => format!("{:.digits$}", counts.total()),
            Self::Nothing => "-".to_owned(),
            Self::Missing(tool) => format!("no {tool}"),
            Self::Failed(_) => "failed".to_owned(),
        }
    }
}

/// Keeps what callgrind wrote about our own, if it is wanted; a longer run overwrites a shorter one.
fn keep(meter: Meter, subject: &Subject, plan: &Plan, file: &Path) -> anyhow::Result<()> {
    let wanted = plan.profile.as_ref().filter(|_| meter == Meter::Instructions && subject.is_ours());
    wanted.map_or(Ok(()), |profile| Ok(fs::copy(file, profile).map(drop)?))
}
