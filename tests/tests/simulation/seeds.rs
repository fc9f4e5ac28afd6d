//! Which seeds are played, and what is said about them.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::story::{self, Ending};

/// The seed to tell about.
const ONE: &str = "MESH_SEED";
/// How many seeds to play.
const MANY: &str = "MESH_SEEDS";
/// How many are played unless somebody says otherwise.
const USUAL: u64 = 30;
/// Most lines of a failed story that are shown; its whole story is what the command shows that is printed with it.
const LAST_LINES: usize = 40;
/// Most violations of one story that are shown: one leads to many.
const FIRST_VIOLATIONS: usize = 5;

/// Plays one seed aloud or many silently; fails with the seeds that failed and the commands that play them again.
pub(crate) fn play() {
    if let Some(seed) = number(ONE) {
        let ending = story::play(seed);
        say(&ending.trace.lines().join("\n"));
        say(&summary(seed, &ending));
        let violations = ending.trace.violations();
        assert!(violations.is_empty(), "seed {seed}:\n{}", violations.join("\n"));
        return;
    }
    let (count, next, failed) = (number(MANY).unwrap_or(USUAL), AtomicU64::new(1), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed <= count)
                {
                    let ending = story::play(seed);
                    if let Some(report) = report(seed, &ending) {
                        say(&report);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    assert!(failed.is_empty(), "of {count} seeds these failed: {failed:?}");
}

/// Plays a seed twice and compares everything that happened.
pub(crate) fn play_twice() {
    let seed = number(ONE).unwrap_or(1);
    let [first, second] = [story::play(seed), story::play(seed)].map(|ending| ending.trace);
    let (one, other) = (first.lines(), second.lines());
    let differing = one.iter().zip(&other).find(|(one, other)| one != other);
    assert_eq!(differing, None, "seed {seed} does not tell the same story twice");
    assert_eq!((one.len(), first.hash()), (other.len(), second.hash()), "seed {seed}");
}

/// What to say about a story that failed.
fn report(seed: u64, ending: &Ending) -> Option<String> {
    let violations = ending.trace.violations();
    if violations.is_empty() {
        return None;
    }
    let lines = ending.trace.lines();
    let first = lines.iter().position(|line| line.contains("VIOLATION")).unwrap_or_default();
    let before = lines[first.saturating_sub(LAST_LINES)..=first].join("\n");
    Some(format!(
        "{}\n{before}\nseed {seed} failed:\n{}\nto play it again: {ONE}={seed} cargo test -p mesh-tests --test simulation whatever -- --nocapture",
        summary(seed, ending),
        violations[..violations.len().min(FIRST_VIOLATIONS)].join("\n")
    ))
}

fn summary(seed: u64, ending: &Ending) -> String {
    let (calls, repeated) = ending.calls;
    let (hash, lines) = (ending.trace.hash(), ending.trace.lines().len());
    format!(
        "seed {seed}: {calls} calls, {repeated} executed more than once, {lines} lines, trace {hash:016x}"
    )
}

/// To where it is seen also when tests are silent about what they print.
fn say(text: &str) {
    // Nobody listens to standard error if it cannot be written.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, got {text:?}")))
}
