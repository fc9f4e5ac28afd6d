//! `cargo cluster`: a fleet that is alive, several registries on a real etcd, and what each of them has to do for it.
//!
//! Nothing here fails because a machine is slow: the figures are for people, and tests gate.

mod story;

mod spread;
mod stage;

mod etcd;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

/// Simulates a fleet whose agents register and send heartbeats with several registries that share an etcd.
#[derive(Debug, clap::Parser)]
#[command(name = "cluster")]
struct Flags {
    /// Agents of the fleet.
    #[arg(long, default_value_t = 100_000)]
    agents: usize,
    /// Registries.
    #[arg(long, default_value_t = 3)]
    replicas: usize,
    /// Members of etcd.
    #[arg(long, default_value_t = 3)]
    members: usize,
    /// Seconds between two heartbeats of an agent.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    interval: f64,
    /// Registrations with a changed document in each second.
    #[arg(long, value_name = "N", default_value_t = 20)]
    registrations: u32,
    /// Time for which each thing is measured, in seconds: once a minute each registry sums up whom it heard.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// The program of etcd.
    #[arg(long, value_name = "FILE", default_value = "etcd", env = "MESH_TEST_ETCD")]
    etcd: PathBuf,
    /// What `cargo bench` passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Flags {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Heartbeats in each second, of all agents.
    fn heartbeats(&self) -> u32 {
        (self.agents as f64 / self.interval).round() as u32
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(story::tell(&flags))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "the figures could not be taken: {fault:#}");
            ExitCode::FAILURE
        }
    }
}
