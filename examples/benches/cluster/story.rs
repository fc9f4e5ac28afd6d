//! What is measured in which order, and how it is told.

use std::time::{Duration, Instant};

use mesh_examples::loadgen::drive::Driver;
use mesh_examples::loadgen::question::Class;
use mesh_examples::loadgen::table::{Table, say};
use mesh_examples::loadgen::tally::Outcome;

use crate::Flags;
use crate::etcd::Work;
use crate::spread;
use crate::stage::Stage;

/// Most rows of an answer.
const LIMIT: usize = 20;
/// Questions in each second at each registry, and connections that ask.
const QUESTIONS: f64 = 100.0;
const CONNECTIONS: usize = 4;
const MIB: f64 = 1_024.0 * 1_024.0;

/// Measures everything.
pub(crate) async fn tell(flags: &Flags) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?;
    let Flags { agents, replicas, members, interval, registrations, .. } = flags;
    say(&format!(
        "{agents} agents, heartbeats every {interval} s, {registrations} changed documents/s; {replicas} registries, \
         {members} members of etcd, all on {cores} cores with the load"
    ));
    let stage = Stage::set(flags).await?;
    let work = stage.etcd.work().await?;
    say(&format!(
        "registered in {:.1} s ({:.0}/s through one registry); etcd: {:.0} MiB database, {} MiB resident in all members",
        stage.filling.as_secs_f64(),
        *agents as f64 / stage.filling.as_secs_f64(),
        work.size / MIB,
        work.resident >> 20
    ));
    for replica in &stage.replicas {
        say(&format!("a registry: {} MiB resident", replica.process.resident()? >> 20));
    }
    let mut table =
        Table::new(&["in each second", "proposals", "KiB sent to etcd", "etcd CPU ms", "registries CPU ms"]);
    engine(&stage, &mut table, "nobody says anything", flags.time()).await?;
    let upkeep = stage.upkeep(flags.heartbeats(), 0)?;
    engine(&stage, &mut table, &format!("{} heartbeats", flags.heartbeats()), flags.time()).await?;
    upkeep.into_iter().try_for_each(mesh_examples::loadgen::upkeep::Upkeep::stop)?;
    let upkeep = stage.upkeep(flags.heartbeats(), *registrations)?;
    engine(&stage, &mut table, &format!("and {registrations} changed documents"), flags.time()).await?;
    table.lines().iter().for_each(|line| say(line));
    for (number, replica) in stage.replicas.iter().enumerate() {
        for class in [Class::Exact, Class::Label, Class::Semver] {
            let questions = class.questions(&replica.base, stage.fleet, LIMIT).await?;
            let mut driver = Driver::connect(&replica.base, questions, CONNECTIONS).await?;
            let outcome = driver.open(QUESTIONS, flags.time() / 10).await?;
            say(&format!("registry {number}, {} at {QUESTIONS}/s: {}", class.name(), told(&outcome)));
        }
    }
    if stage.replicas.len() > 1 {
        let spread = spread::measure(&stage, flags.time() / 3).await?;
        say(&format!("a registration is answered: {}", told(&spread.registered)));
        say(&format!("and found through every other registry: {}", told(&spread.found)));
    }
    upkeep.into_iter().try_for_each(mesh_examples::loadgen::upkeep::Upkeep::stop)?;
    let work = stage.etcd.work().await?;
    say(&format!(
        "in the end: etcd {:.0} MiB database, {:.0} MiB of it in use, {} MiB resident in all members",
        work.size / MIB,
        work.in_use / MIB,
        work.resident >> 20
    ));
    Ok(())
}

/// What etcd and the registries do in `time`.
async fn engine(stage: &Stage, table: &mut Table, what: &str, time: Duration) -> anyhow::Result<()> {
    // What was begun before is over by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (began, before, cpu) = (Instant::now(), stage.etcd.work().await?, registries(stage)?);
    tokio::time::sleep(time).await;
    let (after, seconds) = (stage.etcd.work().await?, began.elapsed().as_secs_f64());
    let each = |of: fn(&Work) -> f64| (of(&after) - of(&before)) / seconds;
    let cpu = registries(stage)?.saturating_sub(cpu).as_secs_f64() * 1e3 / seconds;
    table.row([
        what.to_owned(),
        format!("{:.1}", each(|work| work.proposals)),
        format!("{:.1}", each(|work| work.received) / 1_024.0),
        format!("{:.1}", each(|work| work.cpu.as_secs_f64() * 1e3)),
        format!("{cpu:.1}"),
    ]);
    Ok(())
}

fn registries(stage: &Stage) -> anyhow::Result<Duration> {
    stage.replicas.iter().map(|replica| replica.process.cpu()).sum()
}

fn told(outcome: &Outcome) -> String {
    let ms = |percent| outcome.percentile(percent).as_secs_f64() * 1e3;
    let errors = outcome
        .first_error
        .as_ref()
        .map_or_else(String::new, |fault| format!(", {} errors, the first: {fault}", outcome.errors));
    format!(
        "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms of {}{errors}",
        ms(50.0),
        ms(99.0),
        ms(100.0),
        outcome.answered
    )
}
