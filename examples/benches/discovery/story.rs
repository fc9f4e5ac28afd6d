//! What is measured in which order, and how it is told.

use std::time::{Duration, Instant};

use mesh_examples::loadgen::process::others_at_work;
use mesh_examples::loadgen::question::Class;
use mesh_examples::loadgen::table::{Table, say};
use mesh_examples::loadgen::tally::Outcome;

use crate::costs::{self, ColdStart, Heartbeats, Million};
use crate::plan::{self, Plan};
use crate::rounds::{Measured, Rounds};
use crate::stage::{Filled, LIMIT, Stage};

const MIB: f64 = 1_024.0 * 1_024.0;
/// Titles of the table of one fleet.
const TITLES: [&str; 10] =
    ["class", "q/s", "floor", "CPU µs", "floor", "ratio", "at q/s", "p50 ms", "p99 ms", "floor p99"];

/// Measures everything that is planned.
pub(crate) async fn tell(plan: &Plan) -> anyhow::Result<()> {
    let began = Instant::now();
    let cores = std::thread::available_parallelism()?;
    say(&format!(
        "{} on {cores} cores, which the load shares; {}",
        plan.registry.display(),
        others_at_work()?
    ));
    say(&format!("answers of at most {LIMIT} rows (`whole`: all); {}", costs::arriving()));
    say("the same question comes again, so answers are given again, unless a table says otherwise");
    say("CPU: of the server for an answer, less the heartbeats' share as measured while the floor is asked");
    say(
        "targets: ratio at most 2 for exact, label and semver; p99 below 5 ms, fuzzy below 20 ms, at 100,000 agents\n",
    );
    for &agents in &plan.sizes {
        discovery(plan, agents).await?;
    }
    if let Some(&largest) = plan.sizes.last() {
        forgetful(plan, largest).await?;
        distinct(plan, largest).await?;
    }
    if plan.is_whole {
        others(plan).await;
    }
    if let Some(agents) = plan.million {
        tell_of_million(agents, &costs::million(plan, agents).await?);
    }
    say(&format!("\ntaken in {:.0} s; {}", began.elapsed().as_secs_f64(), others_at_work()?));
    Ok(())
}

// === discovery ===

async fn discovery(plan: &Plan, agents: usize) -> anyhow::Result<()> {
    let stage = Stage::set(&plan.registry, "memory:", &[], plan::fleet(agents, false)).await?;
    say(&format!("{agents} agents × {} capabilities, 200 names", stage.fleet.capabilities));
    classes(plan, &stage, &Class::PLAIN).await?;
    let upkeep = stage.upkeep()?;
    let heartbeats = costs::heartbeats(stage.registry.process, &upkeep, plan.heartbeats).await?;
    upkeep.stop()?;
    let flood = stage.flood()?;
    let flooded = costs::heartbeats(stage.registry.process, &flood, plan.heartbeats).await?;
    flood.stop()?;
    tell_of_fleet(&stage.filled, &heartbeats, &flooded, stage.registry.process.resident()?);
    Ok(())
}

/// The query engine itself: every answer is looked for and rendered, as after a change of the fleet.
async fn forgetful(plan: &Plan, agents: usize) -> anyhow::Result<()> {
    let nothing_kept = ["--max-cache-size", "0"];
    for is_distinct in [false, true] {
        let stage =
            Stage::set(&plan.registry, "memory:", &nothing_kept, plan::fleet(agents, is_distinct)).await?;
        let names = if is_distinct { "each with a name of its own" } else { "200 names" };
        let capabilities = stage.fleet.capabilities;
        say(&format!("{agents} agents × {capabilities} capabilities, {names}, no answer is given again"));
        let all = [Class::Exact, Class::Label, Class::Semver, Class::Fuzzy];
        classes(plan, &stage, if is_distinct { &[Class::Exact, Class::Fuzzy] } else { &all }).await?;
        say("");
    }
    Ok(())
}

async fn distinct(plan: &Plan, agents: usize) -> anyhow::Result<()> {
    let stage = Stage::set(&plan.registry, "memory:", &[], plan::fleet(agents, true)).await?;
    say(&format!("{agents} agents × {} capabilities, each with a name of its own", stage.fleet.capabilities));
    classes(plan, &stage, &[Class::Exact, Class::Fuzzy]).await?;
    say(&format!("  memory of an agent {:.0} bytes\n", stage.filled.memory_each));
    Ok(())
}

async fn classes(plan: &Plan, stage: &Stage, classes: &[Class]) -> anyhow::Result<()> {
    let floor = stage.floor(classes).await?;
    let upkeep = stage.upkeep()?;
    let rounds = Rounds { stage, floor: &floor, upkeep: &upkeep };
    let (mut table, mut faults) = (Table::new(&TITLES), Vec::new());
    for &class in classes {
        let measured = rounds.measure(class, plan).await?;
        faults.extend(fault(&measured));
        table.row(row(&measured));
    }
    upkeep.stop()?;
    table.lines().iter().chain(&faults).for_each(|line| say(&format!("  {line}")));
    conditional(plan, stage).await;
    Ok(())
}

fn row(measured: &Measured) -> [String; 10] {
    let Measured { class, per_second, cpu, ratio, steady, .. } = measured;
    let name = format!("{} ({:.0} B)", class.name(), steady.0.bytes_each());
    let (rate, floor_rate) = (format!("{:.0}", per_second.0), format!("{:.0}", per_second.1));
    let (cpu, floor_cpu) = (format!("{:.1}", cpu.0), format!("{:.1}", cpu.1));
    let at = format!("{:.0}", plan::rate(*class));
    let latencies = [ms(&steady.0, 50.0), ms(&steady.0, 99.0), ms(&steady.1, 99.0)];
    let [p50, p99, floor_p99] = latencies;
    [name, rate, floor_rate, cpu, floor_cpu, format!("{ratio:.2}"), at, p50, p99, floor_p99]
}

fn fault(measured: &Measured) -> Option<String> {
    let errors = measured.errors + measured.steady.0.errors;
    let reason = measured.steady.0.first_error.as_deref().unwrap_or("in the closed loop");
    (errors > 0).then(|| format!("{}: {errors} not answered well: {reason}", measured.class.name()))
}

/// What it costs to hear that nothing has changed. The floor cannot be asked that.
async fn conditional(plan: &Plan, stage: &Stage) {
    let asking = async {
        let base = &stage.registry.base;
        let questions = Class::Conditional.questions(base, stage.fleet, LIMIT).await?;
        let mut driver = mesh_examples::loadgen::drive::Driver::connect(base, questions, 8).await?;
        let cpu = stage.registry.process.cpu()?;
        let outcome = driver.closed(plan.round).await?;
        let used = stage.registry.process.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6;
        anyhow::Ok((used / outcome.answered.max(1) as f64, outcome))
    };
    match asking.await {
        Ok((cpu, outcome)) => say(&format!(
            "  conditional, without heartbeats: {:.0} q/s, {cpu:.1} µs, {:.0} B",
            outcome.rate(),
            outcome.bytes_each()
        )),
        Err(fault) => say(&format!("  conditional: {fault:#}")),
    }
}

fn tell_of_fleet(filled: &Filled, heartbeats: &Heartbeats, flooded: &Heartbeats, resident: u64) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    say(&format!(
        "  heartbeat {:.1} µs of CPU at {:.0}/s, {:.1} µs at {:.0}/s (as fast as it answers), {:.1} µs in batches \
         (target: below 25 µs)",
        heartbeats.each,
        heartbeats.per_second,
        flooded.each,
        flooded.per_second,
        micros(filled.batched_heartbeat)
    ));
    say(&format!(
        "  registration {:.0} µs of CPU at {:.0}/s; memory of an agent {:.0} bytes, {:.0} MiB resident after all this\n",
        micros(filled.registration),
        filled.per_second,
        filled.memory_each,
        resident as f64 / MIB
    ));
}

// === the rest ===

/// What cannot be measured is said and does not end the story: an older registry may not have it.
async fn others(plan: &Plan) {
    match costs::cold_start(plan, plan.large).await {
        Ok(start) => say(&cold_start(plan.large, &start, "below 2 s")),
        Err(fault) => say(&format!("cold start: {fault:#}")),
    }
    match costs::watchers(plan).await {
        Ok(watched) => {
            let (before, after) = watched.resident.unwrap_or_default();
            let each = after.saturating_sub(before) as f64 / plan.watchers as f64;
            say(&format!(
                "{} idle watchers: {:.0} MiB resident (target: below 250 MiB for 10,000), {each:.0} bytes each; \
                 a change reached half of them in {} ms, all in {} ms",
                plan.watchers,
                after as f64 / MIB,
                ms(&watched.delay, 50.0),
                ms(&watched.delay, 100.0)
            ));
        }
        Err(fault) => say(&format!("watchers: {fault:#}")),
    }
}

fn tell_of_million(agents: usize, million: &Million) {
    say(&cold_start(agents, &million.start, "none"));
    for (class, outcome) in &million.answers {
        let (p50, p99) = (ms(outcome, 50.0), ms(outcome, 99.0));
        say(&format!("  {}: p50 {p50} ms, p99 {p99} ms, {} not answered", class.name(), outcome.errors));
    }
    say(&format!("  {:.0} MiB resident (target: below 4096 MiB)", million.resident as f64 / MIB));
}

fn cold_start(agents: usize, start: &ColdStart, target: &str) -> String {
    format!(
        "cold start with {agents} agents from a file: {:.2} s until ready (target: {target}), {:.0} MiB resident; \
         they were written at {:.0}/s",
        start.seconds,
        start.resident as f64 / MIB,
        start.per_second
    )
}

fn ms(outcome: &Outcome, percent: f64) -> String {
    format!("{:.2}", outcome.percentile(percent).as_secs_f64() * 1e3)
}
