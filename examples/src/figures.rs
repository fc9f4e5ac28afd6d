//! Figures of the mesh: failed calls while a provider dies and while the registry is away, time to the first call,
//! memory at rest. Run it with `cargo figures`; it takes less than a minute.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::demo::cast::{Actor, Said};
use crate::demo::screen::Screen;
use crate::demo::troupe::{PROVIDERS, Troupe};

/// Calls of each measurement.
const CALLS: usize = 5_000;
/// Callers at work at the same time.
const CALLERS: usize = 16;
/// Sidecars that are started to time their first call.
const STARTS: usize = 15;
/// Time after which a program counts as idle.
const AT_REST: Duration = Duration::from_secs(3);
/// When the blow falls, measured from the first call.
const BLOW: Duration = Duration::from_millis(300);

/// Measures and prints.
pub fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            Screen::open().line(&format!("the figures could not be taken: {fault:#}"));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure() -> anyhow::Result<()> {
    let screen = Screen::open();
    let (said, _heard) = mpsc::unbounded_channel();
    let folder = TempDir::new()?;
    let mut troupe = Troupe::assemble(folder, said.clone()).await?;
    sleep(AT_REST).await;
    screen.fact("registry", &format!("{} MiB resident at rest", resident_mib(&troupe.registry)?));
    screen.fact("sidecar", &format!("{} MiB resident at rest", resident_mib(&troupe.sidecars[0])?));
    let mut starts = first_calls(&troupe, &said).await?;
    starts.sort_unstable();
    let (fastest, median, slowest) = (starts[0], starts[STARTS / 2], starts[STARTS - 1]);
    screen.fact(
        "first call",
        &format!("{median} ms from the start of a sidecar (median of {STARTS}; {fastest} to {slowest} ms)"),
    );
    provider_dies(&mut troupe, screen).await?;
    registry_dies(&mut troupe, screen).await?;
    screen.fact("caller", &format!("{} MiB resident after all those calls", resident_mib(&troupe.caller)?));
    Ok(())
}

async fn first_calls(troupe: &Troupe, said: &mpsc::UnboundedSender<Said>) -> anyhow::Result<Vec<u128>> {
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let began = Instant::now();
        let caller = troupe.start_caller("fresh", said).await?;
        troupe.traffic_at(&caller).call().await.map_err(anyhow::Error::msg)?;
        starts.push(began.elapsed().as_millis());
    }
    Ok(starts)
}

async fn provider_dies(troupe: &mut Troupe, screen: Screen) -> anyhow::Result<()> {
    let traffic = troupe.traffic.clone();
    let running = tokio::spawn({
        let traffic = traffic.clone();
        async move { traffic.run(CALLS, CALLERS, Duration::ZERO, |_| {}).await }
    });
    sleep(BLOW).await;
    troupe.agents[1].kill().await?;
    running.await?;
    let tally = traffic.take_tally();
    ensure!(tally.served.contains_key(PROVIDERS[1]), "the provider was killed before it served anybody");
    screen.fact(
        "provider dies",
        &format!(
            "{} of {CALLS} calls failed while one of {} providers was killed ({CALLERS} callers, {} retried)",
            tally.failed.len(),
            PROVIDERS.len(),
            tally.retried
        ),
    );
    Ok(())
}

async fn registry_dies(troupe: &mut Troupe, screen: Screen) -> anyhow::Result<()> {
    troupe.registry.kill().await?;
    // Past the time for which answers are used without a question, so that every call rests on memory.
    sleep(AT_REST).await;
    troupe.traffic.run(CALLS, CALLERS, Duration::ZERO, |_| {}).await;
    let tally = troupe.traffic.take_tally();
    screen.fact(
        "registry down",
        &format!(
            "{} of {CALLS} calls failed while the registry was down ({} answered from memory of it)",
            tally.failed.len(),
            tally.stale
        ),
    );
    Ok(())
}

/// Resident memory as the kernel counts it.
fn resident_mib(actor: &Actor) -> anyhow::Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", actor.id()))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel names no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{:.1}", kib / 1_024.0))
}
