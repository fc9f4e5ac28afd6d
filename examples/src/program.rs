//! The example agent as a program: flags, run, stop when told.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Options};

/// An MCP agent that summarizes, counts and archives text, to try the mesh with.
#[derive(Debug, Parser)]
#[command(name = "example-agent", version)]
struct Flags {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8001")]
    listen: SocketAddr,
    /// Name returned in answers, to see which replica served a call.
    #[arg(long, default_value = "example-agent")]
    name: String,
    /// Give clients of the older protocol revisions a session.
    #[arg(long)]
    session: bool,
    /// Answer with event streams rather than JSON.
    #[arg(long)]
    sse: bool,
    /// Milliseconds added to each call.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Speak the older protocol revisions only.
    #[arg(long)]
    older: bool,
    /// A tool that is not offered; may be given several times.
    #[arg(long, value_name = "TOOL")]
    without: Vec<String>,
}

/// Runs the agent until it is told to stop. `arguments` begin with the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(Flags::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // A closed standard error is no reason to panic.
            let _ = writeln!(std::io::stderr(), "example-agent failed: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(flags: Flags) -> anyhow::Result<()> {
    let Flags { listen, name, session, sse, latency, older, without } = flags;
    let latency = Duration::from_millis(latency);
    let agent = Agent::bind(Options { listen, name, session, sse, latency, older, without }).await?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_when_told(stop.clone()));
    writeln!(std::io::stdout(), "listening on {}", agent.url())?;
    Ok(agent.serve(stop).await?)
}

async fn stop_when_told(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
}
