//! All runs of all cases, once for all tests, and printed as one table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use crate::cases::{Case, Fleet};
use crate::choice::Setup;
use crate::figures::Figures;
use crate::world::World;

/// Ours is run with each of them, and every bound holds for each of them; the others, which nobody changes, with the
/// first.
const SEEDS: [u64; 2] = [1, 2];

/// The columns: everybody alone, and then the whole of ours.
const SETUPS: [Setup; 5] =
    [Setup::OTHERS[0], Setup::OTHERS[1], Setup::OTHERS[2], Setup::ADAPTIVE, Setup::Whole];

/// The table, made by whichever test asks first.
pub(crate) static TABLE: LazyLock<Table> = LazyLock::new(Table::make);

/// A case, who calls, and how the callers are set up.
type Key = (Case, Fleet, Setup);

/// The figures of all runs.
pub(crate) struct Table {
    cells: BTreeMap<Key, Vec<Figures>>,
}

impl Table {
    /// The figures of a case, one for each seed.
    pub(crate) fn runs(&self, case: Case, fleet: Fleet, setup: Setup) -> &[Figures] {
        &self.cells[&(case, fleet, setup)]
    }

    fn make() -> Self {
        let began = Instant::now();
        let jobs = jobs();
        let (next, cells) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || {
            while let Some(&key) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let runs = runs(key);
                cells.lock().unwrap().insert(key, runs);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        let table = Self { cells: cells.into_inner().unwrap() };
        let took = began.elapsed().as_secs_f64();
        // Not `eprint`, which a test that passes keeps to itself.
        write!(std::io::stderr(), "{}\n{took:.1} s\n\n", table.text()).unwrap();
        table
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "\nBalancing, simulated: share of calls that failed, median and 99th percentile of the answered.\n\n",
        );
        row(&mut text, "case, callers", &SETUPS.map(|setup| setup.name().to_owned()), "attempts");
        for (case, fleet) in pairs(&Case::LASTING) {
            let figures = SETUPS.map(|setup| Figures::mean(self.runs(case, fleet, setup)));
            let attempts = format!("{:.2}", figures[SETUPS.len() - 1].attempts);
            row(&mut text, &name(case, fleet), &figures.map(cell), &attempts);
        }
        text += "\nThe same with breaker and retry, and the share of the one of five agents who got well again, \
                 three minutes after it did.\n\n";
        for (case, fleet) in pairs(&Case::PASSING) {
            let figures = Figures::mean(self.runs(case, fleet, Setup::Whole));
            row(&mut text, &name(case, fleet), &[cell(figures)], &format!("{:.1} %", figures.late_share));
        }
        text
    }
}

fn cell(one: Figures) -> String {
    format!("{:.2} % {:>6} {:>7}", one.errors, time(one.p50), time(one.p99))
}

fn row(text: &mut String, name: &str, cells: &[String], last: &str) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>24}")).collect();
    writeln!(text, "{name:<31}{cells}{last:>10}").unwrap();
}

fn name(case: Case, fleet: Fleet) -> String {
    format!("{}, {}", case.name(), fleet.callers(&case.service()))
}

fn pairs(cases: &[Case]) -> impl Iterator<Item = (Case, Fleet)> {
    cases.iter().flat_map(|&case| Fleet::ALL.map(|fleet| (case, fleet)))
}

/// The longest first, so that no core waits for the other at the end.
fn jobs() -> Vec<Key> {
    let passing = pairs(&Case::PASSING).map(|(case, fleet)| (case, fleet, Setup::Whole));
    let lasting = pairs(&Case::LASTING).flat_map(|(case, fleet)| SETUPS.map(|setup| (case, fleet, setup)));
    passing.chain(lasting).collect()
}

fn runs((case, fleet, setup): Key) -> Vec<Figures> {
    let seeds = if Setup::OTHERS.contains(&setup) { &SEEDS[..1] } else { &SEEDS };
    seeds.iter().map(|&seed| Figures::of(case, &World::run(case, fleet, setup, seed))).collect()
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1_000.0),
        seconds if seconds < 100.0 => format!("{seconds:.1} s"),
        seconds => format!("{seconds:.0} s"),
    }
}
