//! What discovery remembers, as a file: a sidecar that starts while the registry is away knows what the one before knew.
//!
//! The file is written beside its place and then put there, so it is always whole. A file that cannot be read or written is
//! a pity and no more: the sidecar says so and goes on without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::page::CapabilityRow;
use mesh_api::query::CapabilityQuery;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::discovery::{Discovery, Remembered, RememberedTools};

/// Shortest time between two writings.
const PAUSE: Duration = Duration::from_secs(5);
/// Time after which it is written even if nothing has changed but the age of the answers.
const RENEWAL: Duration = Duration::from_secs(60);
/// Answers beyond this size are left out, in bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The file.
#[derive(Debug)]
pub struct Copy {
    file: PathBuf,
    written: Option<Instant>,
    /// What was in it: the question and the version of the answer.
    holds: Vec<(String, u64)>,
    has_failed: bool,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    saved_at: Timestamp,
    answers: Vec<Kept>,
    tools: Vec<KeptTools>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    query: String,
    /// Seconds since the registry answered, when this was saved.
    age: f64,
    capabilities: Vec<CapabilityRow>,
}

#[derive(Serialize, Deserialize)]
struct KeptTools {
    query: String,
    /// As of an answer.
    age: f64,
    entries: Vec<Box<RawValue>>,
}

/// All that is kept.
#[derive(Debug, Default)]
struct All {
    answers: Vec<Remembered>,
    tools: Vec<RememberedTools>,
}

// === impl Copy ===

impl Copy {
    /// The copy in `file`, which need not be there.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), written: None, holds: Vec::new(), has_failed: false }
    }

    /// Gives `discovery` what the file holds.
    pub fn load(&self, discovery: &Discovery) {
        match read(&self.file, Timestamp::now()) {
            Ok(All { answers, tools }) => {
                tracing::info!(file = %self.file.display(), answers = answers.len(), "remembered from the run before");
                answers.into_iter().for_each(|answer| discovery.restore(answer));
                tools.into_iter().for_each(|tools| discovery.restore_tools(tools));
            }
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {}
            Err(fault) => {
                tracing::warn!(file = %self.file.display(), %fault, "what was remembered before cannot be read");
            }
        }
    }

    /// Writes what has changed, if it is time.
    pub async fn save(&mut self, discovery: &Discovery) {
        let age = self.written.map(|written| written.elapsed());
        let is_due = match age {
            None => true,
            Some(age) => age >= RENEWAL || (age >= PAUSE && self.holds != discovery.editions()),
        };
        if is_due {
            self.save_now(discovery).await;
        }
    }

    /// Writes what there is, if there is anything.
    pub async fn save_now(&mut self, discovery: &Discovery) {
        let holds = discovery.editions();
        if holds.is_empty() {
            return;
        }
        let outcome = self.write(discovery).await;
        (self.written, self.holds) = (Some(Instant::now()), holds);
        match outcome {
            Ok(()) => self.has_failed = false,
            // Said once, not every few seconds.
            Err(fault) if !std::mem::replace(&mut self.has_failed, true) => {
                tracing::warn!(file = %self.file.display(), %fault, "the copy of what discovery knows cannot be written");
            }
            Err(_) => {}
        }
    }

    async fn write(&self, discovery: &Discovery) -> std::io::Result<()> {
        let all = All { answers: discovery.remembered(), tools: discovery.remembered_tools() };
        let bytes = contents(all, Timestamp::now())?;
        let beside = self.file.with_extension("new");
        tokio::fs::write(&beside, bytes).await?;
        tokio::fs::rename(&beside, &self.file).await
    }
}

fn contents(all: All, now: Timestamp) -> std::io::Result<Vec<u8>> {
    let mut left = MAX_BYTES;
    let answers = all.answers.into_iter().map(|answer| Kept {
        query: answer.question.to_string(),
        age: answer.age.as_secs_f64(),
        capabilities: answer.rows,
    });
    let answers = answers.filter(|one| fits(one, &mut left)).collect();
    let tools = all.tools.into_iter().map(|tools| KeptTools {
        query: tools.query.to_string(),
        age: tools.age.as_secs_f64(),
        entries: tools.entries,
    });
    let tools = tools.filter(|one| fits(one, &mut left)).collect();
    serde_json::to_vec(&Contents { saved_at: now, answers, tools }).map_err(Into::into)
}

/// Whether there is room for it among the bytes that are left, which it takes then.
fn fits(one: &impl Serialize, left: &mut usize) -> bool {
    let size = serde_json::to_vec(one).map_or(usize::MAX, |bytes| bytes.len());
    let fits = size <= *left;
    *left -= if fits { size } else { 0 };
    fits
}

/// What a file holds, with the ages that its answers have at `now`.
fn read(file: &Path, now: Timestamp) -> std::io::Result<All> {
    let contents: Contents = serde_json::from_slice(&std::fs::read(file)?)?;
    // A clock that was set back makes nothing younger.
    let passed = Duration::try_from(now.duration_since(contents.saved_at)).unwrap_or_default();
    let age = |age: f64| Some(Duration::try_from_secs_f64(age).ok()?.saturating_add(passed));
    let answers = contents.answers.into_iter().filter_map(|one| {
        Some(Remembered { question: one.query.parse().ok()?, rows: one.capabilities, age: age(one.age)? })
    });
    let tools = contents.tools.into_iter().filter_map(|one| {
        let query = CapabilityQuery::parse(&one.query).ok()?;
        Some(RememberedTools { query, entries: one.entries, age: age(one.age)? })
    });
    Ok(All { answers: answers.collect(), tools: tools.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(name: &str, description: &str) -> Remembered {
        let row = serde_json::json!({"name": name, "version": "1.0.0", "description": description, "category": null,
            "tags": [], "stability": "stable", "agent_id": "a", "agent_name": "a", "agent_namespace": "default",
            "agent_status": "healthy", "agent_endpoint": "http://h:1/mcp", "agent_labels": {}, "agent_weight": 1.0});
        Remembered {
            question: format!("name={name}").parse().unwrap(),
            rows: vec![serde_json::from_value(row).unwrap()],
            age: Duration::from_secs(5),
        }
    }

    fn of(answers: Vec<Remembered>) -> All {
        let query = CapabilityQuery::parse("name=summarize").unwrap();
        let entries = vec![RawValue::from_string("{\"name\": 1e2}".to_owned()).unwrap()];
        All { answers, tools: vec![RememberedTools { query, entries, age: Duration::from_secs(7) }] }
    }

    fn write_and_read(bytes: &[u8], now: Timestamp) -> std::io::Result<All> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("discovery.json");
        std::fs::write(&file, bytes).unwrap();
        read(&file, now)
    }

    #[test]
    fn what_was_remembered_is_as_old_as_it_is() {
        let now = Timestamp::now();
        let bytes = contents(of(vec![remembered("summarize", "")]), now).unwrap();
        let later = now + jiff::SignedDuration::from_secs(60);
        let All { answers: read, tools } = write_and_read(&bytes, later).unwrap();
        assert_eq!((read.len(), read[0].age), (1, Duration::from_secs(65)));
        assert_eq!((&read[0].question, read[0].rows.len()), (&remembered("summarize", "").question, 1));
        assert_eq!(
            (&tools[0].query, tools[0].age),
            (&of(Vec::new()).tools[0].query, Duration::from_secs(67))
        );
        assert_eq!(tools[0].entries[0].get(), "{\"name\": 1e2}");
        let earlier = now - jiff::SignedDuration::from_secs(60);
        assert_eq!(write_and_read(&bytes, earlier).unwrap().answers[0].age, Duration::from_secs(5));
    }

    #[test]
    fn rubbish_is_no_reason_not_to_start() {
        for rubbish in ["", "{", "[]", "{\"saved_at\":\"soon\"}", "\u{0}\u{0}\u{0}"] {
            assert!(write_and_read(rubbish.as_bytes(), Timestamp::now()).is_err(), "{rubbish}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let large = "x".repeat(MAX_BYTES / 2);
        let answers = ["a", "b", "c"].map(|name| remembered(name, &large)).into_iter().collect();
        let bytes = contents(of(answers), Timestamp::now()).unwrap();
        assert!(bytes.len() < MAX_BYTES + 1_000);
        assert_eq!(write_and_read(&bytes, Timestamp::now()).unwrap().answers.len(), 1);
    }
}
