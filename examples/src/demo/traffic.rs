//! The caller of the demo: calls a capability through its sidecar's localhost port, and keeps count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Time between two looks at how the calls come along.
const LOOK: Duration = Duration::from_millis(50);
/// What is summarized.
const TEXT: &str = "Agents find each other through the mesh. The mesh picks a healthy provider for every call. \
                    When a provider dies, the mesh calls another one. Nobody writes retry loops any more.";

/// A caller of one capability.
#[derive(Debug, Clone)]
pub struct Traffic {
    http: reqwest::Client,
    url: String,
    tally: Arc<Mutex<Tally>>,
}

/// What came of the calls of a scene.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Calls answered, by agent.
    pub served: BTreeMap<String, usize>,
    /// Calls that took more than one attempt.
    pub retried: usize,
    /// Calls answered from what was known before the registry went away.
    pub stale: usize,
    /// Calls that failed, and what they were told.
    pub failed: Vec<String>,
    /// The slowest call.
    pub slowest: Duration,
}

impl Traffic {
    /// Calls `capability` at the sidecar on `sidecar`.
    pub fn new(http: reqwest::Client, sidecar: SocketAddr, capability: &str) -> Self {
        Self { http, url: format!("http://{sidecar}/call/{capability}"), tally: Arc::default() }
    }

    /// One call; the answer's result.
    ///
    /// # Errors
    /// What the caller was told.
    pub async fn call(&self) -> Result<Value, String> {
        let began = Instant::now();
        let arguments = json!({"text": TEXT, "sentences": 1});
        let answer =
            self.http.post(&self.url).json(&arguments).send().await.map_err(|fault| fault.to_string());
        let outcome = match answer {
            Ok(answer) => self.note_answer(answer).await,
            Err(fault) => Err(fault),
        };
        let mut tally = self.tally();
        tally.slowest = tally.slowest.max(began.elapsed());
        tally.failed.extend(outcome.as_ref().err().cloned());
        outcome
    }

    /// Makes `calls` calls, `callers` at a time with a pause between them, and shows how they come along.
    pub async fn run(&self, calls: usize, callers: usize, pause: Duration, show: impl Fn(&Tally)) {
        let mut at_work = JoinSet::new();
        for caller in 0..callers {
            let this = self.clone();
            let share = (caller..calls).step_by(callers).count();
            at_work.spawn(async move {
                for _ in 0..share {
                    // The tally keeps what came of it.
                    let _ = this.call().await;
                    tokio::time::sleep(pause).await;
                }
            });
        }
        let mut looks = tokio::time::interval(LOOK);
        while !at_work.is_empty() {
            tokio::select! {
                _ = at_work.join_next() => {}
                _ = looks.tick() => show(&self.tally()),
            }
        }
    }

    /// What came of the calls since the last time this was asked.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut self.tally())
    }

    async fn note_answer(&self, answer: reqwest::Response) -> Result<Value, String> {
        let header =
            |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (agent, attempts) = (header("x-mesh-agent").to_owned(), header("x-mesh-attempts").to_owned());
        let (status, is_stale) = (answer.status(), header("x-mesh-stale") == "1");
        let body: Value = answer.json().await.map_err(|fault| fault.to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {}", body["error"]));
        }
        let mut tally = self.tally();
        *tally.served.entry(agent).or_default() += 1;
        tally.retried += usize::from(attempts != "1");
        tally.stale += usize::from(is_stale);
        Ok(body)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// Who served how many, in one line.
    pub fn by_agent(&self) -> String {
        let served = self.served.iter().map(|(agent, calls)| format!("{agent} {calls}"));
        served.collect::<Vec<_>>().join(" · ")
    }

    /// Calls answered.
    pub fn answered(&self) -> usize {
        self.served.values().sum()
    }
}
