//! What is measured in which order, and how it is told.

use std::time::Instant;

use mesh_examples::loadgen::meter::Meter;
use mesh_examples::loadgen::process::others_at_work;
use mesh_examples::loadgen::table::{Table, say};

use crate::counts::{Counted, count};
use crate::plan::Plan;
use crate::rounds::{Measured, measure};
use crate::stage::Stage;
use crate::subject::Subject;

const MIB: f64 = 1_024.0 * 1_024.0;
const TITLES: [&str; 10] =
    ["", "CPU µs", "ratio", "req/s", "p50 µs", "p99 µs", "idle MiB", "after", "instructions", "syscalls"];
/// What a way through the sidecar may cost, below the same titles.
const TARGETS: [&str; 10] = ["target", "", "≤ 1.10", "", "", "", "< 15", "", "≤ 42000", "≤ 7"];

/// Measures everything that is planned.
pub(crate) async fn tell(plan: &Plan) -> anyhow::Result<()> {
    let began = Instant::now();
    introduce(plan)?;
    let stage = Stage::set(plan).await?;
    let measured = measure(&stage, plan).await?;
    let (mut table, mut remarks) = (Table::new(&TITLES), Vec::new());
    for (&subject, measured) in plan.subjects.iter().zip(&measured) {
        let instructions = count(Meter::Instructions, &stage, subject, plan).await?;
        let syscalls = count(Meter::Syscalls, &stage, subject, plan).await?;
        remarks.extend(late(subject, measured));
        remarks.extend(failure(subject, &instructions));
        remarks.extend(failure(subject, &syscalls));
        if let Counted::Each(counts) = &syscalls {
            remarks.push(format!("{}: {}", subject.title, counts.names()));
        }
        table.row(row(subject, measured, &instructions, &syscalls));
    }
    table.row(TARGETS.map(str::to_owned));
    table.lines().iter().for_each(|line| say(&format!("  {line}")));
    say("");
    remarks.iter().for_each(|line| say(&format!("  {line}")));
    if let Some(profile) = &plan.profile {
        say(&format!("{} holds a start and {} calls", profile.display(), plan.counted.1 + 1));
    }
    say(&format!("taken in {:.0} s; {}", began.elapsed().as_secs_f64(), others_at_work()?));
    Ok(())
}

fn introduce(plan: &Plan) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?;
    let Plan { connections, rounds, rate, steady, .. } = plan;
    let (round, steady) = (plan.round.as_secs_f64(), steady.as_secs_f64());
    say(&format!(
        "{} on {cores} cores, which the load shares; {}",
        plan.sidecar.display(),
        others_at_work()?
    ));
    if *rounds > 0 {
        say(&format!(
            "medians of {rounds} rounds, each with servers just started: {round} s as fast as {connections} connections are answered and {steady} s \
             at {rate} requests/s"
        ));
        say("CPU: of the server that is asked, alone; ratio: to the thin proxy in the same rounds");
    }
    say("instructions of the program, system calls: of one request after the other, on one worker thread\n");
    Ok(())
}

fn row(subject: &Subject, measured: &Measured, instructions: &Counted, syscalls: &Counted) -> [String; 10] {
    let Measured { cpu, ratio, per_second, latency, resident, .. } = measured;
    [
        subject.title.to_owned(),
        figure(*cpu, 1),
        figure(*ratio, 2),
        figure(*per_second, 0),
        figure(latency.0, 0),
        figure(latency.1, 0),
        format!("{:.1}", resident.0 as f64 / MIB),
        format!("{:.1}", resident.1 as f64 / MIB),
        instructions.cell(0),
        syscalls.cell(2),
    ]
}

/// What no round has measured is not a number.
fn figure(figure: f64, digits: usize) -> String {
    if figure.is_nan() { "-".to_owned() } else { format!("{figure:.digits$}") }
}

fn failure(subject: &Subject, counted: &Counted) -> Option<String> {
    let Counted::Failed(reason) = counted else { return None };
    Some(format!("{}: {reason}", subject.title))
}

fn late(subject: &Subject, measured: &Measured) -> Option<String> {
    let late = measured.late;
    (late > 0)
        .then(|| format!("{}: {late} requests at the fixed rate could not be sent in time", subject.title))
}
