//! The load tool as a program: what can be done with it, and the runtime that each needs.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Builder;

use super::fill;
use super::fleet::Fleet;
use super::floor::Floor;
use super::process::Process;
use super::question::Class;
use super::survey::Survey;
use super::table::say;
use super::upkeep::Rates;
use super::watchers::Watching;
use super::wire::Base;

/// Fills a registry with agents, asks for them, watches them, and says what that costs.
///
/// All commands that name the same fleet (agents, capabilities, seed, distinct) mean the same agents.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
struct Flags {
    #[command(subcommand)]
    command: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Registers a fleet and sends one heartbeat of each agent.
    Fill {
        #[command(flatten)]
        registry: Registry,
        /// Connections that register.
        #[arg(long, default_value_t = 64)]
        connections: usize,
    },
    /// Asks for agents, as fast as they are answered or at a fixed rate.
    Query {
        #[command(flatten)]
        registry: Registry,
        #[command(flatten)]
        asked: Asked,
        /// Questions in each second, timed from when each is due; without it, as many as are answered.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
        /// Time for each class.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Connections that ask.
        #[arg(long, default_value_t = 8)]
        connections: usize,
        #[command(flatten)]
        rates: Rates,
    },
    /// Opens streams that watch the agents, changes one agent, and waits until all have seen it.
    Watchers {
        #[command(flatten)]
        registry: Registry,
        /// Streams.
        #[arg(long, default_value_t = 1_000)]
        watchers: usize,
        /// Labels of the agents that are watched; agent 0 must have them.
        #[arg(long, default_value = "team")]
        selector: String,
    },
    /// Asks a registry once and then serves its answers from memory, for comparison.
    Floor {
        #[command(flatten)]
        registry: Registry,
        #[command(flatten)]
        asked: Asked,
        /// Address to listen on; port 0 takes a free one.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct Registry {
    /// Where the registry is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    url: Base,
    /// Its process id, if it is on this machine: its CPU time and memory are shown.
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    fleet: Fleet,
}

#[derive(Debug, Args)]
struct Asked {
    /// Kinds of questions; all that need no more than the fleet, if none is named.
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',')]
    classes: Vec<Class>,
    /// Most rows of an answer, except of the class `whole`.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

/// Does what `arguments` say, which begin with the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(Flags::parse_from(arguments).command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // A closed standard error is no reason to panic.
            let _ = writeln!(std::io::stderr(), "loadgen failed: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(job: Job) -> anyhow::Result<()> {
    // What asks takes one core and leaves the others to what answers; what answers takes what a registry takes.
    let is_server = matches!(job, Job::Floor { .. });
    let mut runtime = if is_server { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    runtime.enable_all().build()?.block_on(act(job))
}

async fn act(job: Job) -> anyhow::Result<()> {
    match job {
        Job::Fill { registry, connections } => fill_registry(registry, connections).await,
        Job::Query { registry, asked, rate, seconds, connections, rates } => {
            let survey = Survey {
                process: registry.process(),
                base: registry.url,
                fleet: registry.fleet,
                limit: usize::from(asked.limit),
                classes: asked.classes(),
                connections,
                rate: rate.map(f64::from),
                time: Duration::from_secs(seconds),
                rates,
            };
            survey.take().await?.iter().for_each(|line| say(line));
            Ok(())
        }
        Job::Watchers { registry, watchers, selector } => watch_registry(registry, watchers, selector).await,
        Job::Floor { registry, asked, listen } => {
            let mut floor = Floor::default();
            let limit = usize::from(asked.limit);
            for class in asked.classes() {
                floor
                    .learn(&registry.url, &class.questions(&registry.url, registry.fleet, limit).await?)
                    .await?;
            }
            floor.serve(listen).await
        }
    }
}

async fn fill_registry(registry: Registry, connections: usize) -> anyhow::Result<()> {
    let (base, fleet) = (&registry.url, registry.fleet);
    let registering = fill::register(base, fleet, connections).await?.as_secs_f64();
    let beating = fill::beat(base, fleet, connections).await?.as_secs_f64();
    let agents = fleet.agents as f64;
    say(&format!("{agents} agents registered in {registering:.1} s ({:.0}/s)", agents / registering));
    say(&format!("{agents} heartbeats in batches in {beating:.1} s ({:.0}/s)", agents / beating));
    if let Some(process) = registry.process() {
        say(&format!("{} MiB resident", process.resident()? >> 20));
    }
    Ok(())
}

async fn watch_registry(registry: Registry, watchers: usize, selector: String) -> anyhow::Result<()> {
    let process = registry.process();
    let watching = Watching { base: registry.url, watchers, selector, fleet: registry.fleet, process };
    let watched = watching.measure().await?;
    say(&format!("{watchers} watches opened in {:.1} s", watched.opening.as_secs_f64()));
    if let Some((before, after)) = watched.resident {
        let each = after.saturating_sub(before) / watchers.max(1) as u64;
        say(&format!("{} MiB resident, {} MiB before: {each} bytes for each", after >> 20, before >> 20));
    }
    let ms = |percent| watched.delay.percentile(percent).as_secs_f64() * 1e3;
    say(&format!("a change reached half of them in {:.1} ms and all in {:.1} ms", ms(50.0), ms(100.0)));
    Ok(())
}

// === what the flags say ===

impl Registry {
    fn process(&self) -> Option<Process> {
        self.pid.map(Process)
    }
}

impl Asked {
    fn classes(&self) -> Vec<Class> {
        if self.classes.is_empty() { Class::PLAIN.to_vec() } else { self.classes.clone() }
    }
}
