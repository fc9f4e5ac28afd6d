//! What our agent can do, asked of the agent itself and kept true: `capabilities: auto` in its manifest.
//!
//! The list of tools is read before the agent is registered, again when the agent announces a change or comes back, and
//! otherwise every so often. What is found is published as an [`Document`]; a list that cannot be read leaves the last one
//! standing.

mod draft;

mod pages;
mod tool;

use std::sync::Arc;
use std::time::Duration;

use mesh_api::agent::Registration;
use mesh_client::backoff::Backoff;
use mesh_client::dice::Dice;
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::pages::List;
use crate::error::chain;
use crate::own_agent::{AskError, OwnAgent};

/// Time for reading the whole list.
const PATIENCE: Duration = Duration::from_secs(30);
/// First and longest pause between attempts while the list cannot be read.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// First and longest pause before listening to the agent again.
const LISTENING_PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Time between two questions, and the longest for which the agent's word is taken that its list does not change: it may
/// be replaced by another release.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));
/// An agent that changes several tools announces each; they are asked for together.
const SETTLING: Duration = Duration::from_millis(50);

/// How our agent's tools are asked for, and what the manifest says about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Time between two questions for its tools; without it 30 s, or as long as the agent says, up to 5 minutes.
    pub interval: Option<Duration>,
    /// What the manifest says about single tools, each as it stands there; it has the last word.
    pub entries: Vec<Map<String, Value>>,
}

/// What there is to register.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The document.
    pub registration: Arc<Registration>,
    /// Why its capabilities are not known yet.
    pub pending: Option<String>,
}

/// Asks our agent what it can do, and keeps asking.
pub struct Inventory {
    agent: Arc<dyn OwnAgent>,
    /// What the manifest says.
    registration: Arc<Registration>,
    plan: Plan,
    document: watch::Sender<Document>,
    /// Why the list could not be read the last time.
    trouble: Option<String>,
    /// What was wrong with the tools the last time.
    remarks: Vec<String>,
    backoff: Backoff,
}

// === impl Document ===

impl Document {
    /// A registration that never changes.
    pub fn fixed(registration: Registration) -> watch::Receiver<Self> {
        watch::channel(Self { registration: Arc::new(registration), pending: None }).1
    }
}

// === impl Inventory ===

impl Inventory {
    /// Will ask `agent`, and publish what `registration` becomes with its tools.
    pub fn new(
        agent: Arc<dyn OwnAgent>,
        registration: Registration,
        plan: Plan,
    ) -> (Self, watch::Receiver<Document>) {
        let registration = Arc::new(registration);
        let pending = Some("its tools are not known yet".to_owned());
        let (sender, document) =
            watch::channel(Document { registration: Arc::clone(&registration), pending });
        let backoff = Backoff::new(PAUSES.0, PAUSES.1);
        (
            Self { agent, registration, plan, document: sender, trouble: None, remarks: Vec::new(), backoff },
            document,
        )
    }

    /// Asks and listens, while `is_up`, until `stop`.
    pub async fn run(mut self, is_up: watch::Receiver<bool>, stop: CancellationToken) {
        let (agent, changed) = (Arc::clone(&self.agent), Notify::new());
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.keep_true(is_up.clone(), &changed) => {}
            () = listen(agent.as_ref(), is_up, &changed) => {}
        }
    }

    async fn keep_true(&mut self, mut is_up: watch::Receiver<bool>, changed: &Notify) {
        while is_up.wait_for(|is_up| *is_up).await.is_ok() {
            let pause = self.look().await;
            tokio::select! {
                biased;
                // It is down, or was: asked again when it is up.
                changed = is_up.changed() => if changed.is_err() { return },
                () = changed.notified() => sleep(SETTLING).await,
                () = sleep(pause) => {}
            }
        }
    }

    /// Reads the list once and publishes what it says; returns the pause until the next time.
    async fn look(&mut self) -> Duration {
        let reason = match timeout(PATIENCE, pages::read(self.agent.as_ref())).await {
            Ok(Ok(list)) => return self.take(list),
            Ok(Err(fault)) => chain(&fault),
            Err(_) => format!("our agent did not list its tools within {} s", PATIENCE.as_secs()),
        };
        self.document.send_if_modified(|document| {
            let is_waited_for = document.pending.is_some();
            is_waited_for && document.pending.replace(reason.clone()).as_ref() != Some(&reason)
        });
        if self.trouble.as_ref() != Some(&reason) {
            let is_known = self.document.borrow().pending.is_none();
            tracing::warn!(
                agent.id = self.registration.id,
                reason,
                is_known,
                "our agent's tools cannot be read"
            );
            self.trouble = Some(reason);
        }
        self.backoff.pause(&mut Dice)
    }

    fn take(&mut self, list: List) -> Duration {
        self.backoff.reset();
        self.trouble = None;
        let usual = list.ttl.unwrap_or_default().clamp(INTERVALS.0, INTERVALS.1);
        let (registration, remarks) = draft::write(&self.registration, &self.plan.entries, &list.tools);
        for remark in remarks.iter().filter(|remark| !self.remarks.contains(remark)) {
            tracing::warn!(
                agent.id = self.registration.id,
                remark,
                "not all of our agent's tools are registered as they are"
            );
        }
        self.remarks = remarks;
        let capabilities = registration.capabilities.len();
        let document = Document { registration: Arc::new(registration), pending: None };
        let is_new = self.document.send_if_modified(|last| {
            *last != document && std::mem::replace(last, document.clone()) != document
        });
        if is_new {
            tracing::info!(agent.id = self.registration.id, capabilities, "our agent's tools are known");
        }
        self.plan.interval.unwrap_or(usual)
    }
}

/// Listens to our agent while it is up, for as long as it announces anything.
async fn listen(agent: &dyn OwnAgent, mut is_up: watch::Receiver<bool>, changed: &Notify) {
    let mut backoff = Backoff::new(LISTENING_PAUSES.0, LISTENING_PAUSES.1);
    while is_up.wait_for(|is_up| *is_up).await.is_ok() {
        let began = Instant::now();
        match agent.listen(changed).await {
            Err(AskError::Silent) => {}
            // It may have ended together with the agent, and another release may be there.
            Ok(()) => changed.notify_one(),
            Err(fault) => {
                tracing::debug!(reason = chain(&fault), "our agent is not heard any more");
                changed.notify_one();
            }
        }
        if began.elapsed() > LISTENING_PAUSES.1 {
            backoff.reset();
        }
        sleep(backoff.pause(&mut Dice)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use mesh_mcp::raw::RawJson;
    use serde_json::json;

    use super::*;

    /// An agent that says what stands here, and announces when it is told to.
    #[derive(Default)]
    struct Told {
        /// The result of the question, or nothing: then it never answers.
        says: Mutex<Option<Value>>,
        asked: Mutex<Vec<Instant>>,
        announces: Notify,
    }

    impl OwnAgent for Told {
        fn ask<'a>(
            &'a self,
            _: &'static str,
            _: &'a Map<String, Value>,
        ) -> BoxFuture<'a, Result<RawJson, AskError>> {
            self.asked.lock().unwrap().push(Instant::now());
            let says = self.says.lock().unwrap().clone();
            Box::pin(async move {
                match says {
                    Some(says) => Ok(RawJson::read(&Bytes::from(says.to_string())).unwrap()),
                    None => std::future::pending().await,
                }
            })
        }

        fn listen<'a>(&'a self, heard: &'a Notify) -> BoxFuture<'a, Result<(), AskError>> {
            Box::pin(async move {
                loop {
                    self.announces.notified().await;
                    heard.notify_one();
                }
            })
        }
    }

    impl Told {
        fn says(&self, says: Value) {
            *self.says.lock().unwrap() = Some(says);
        }

        /// How long after `began` it was asked, in seconds.
        fn asked(&self, began: Instant) -> Vec<f64> {
            self.asked.lock().unwrap().iter().map(|at| (*at - began).as_secs_f64()).collect()
        }
    }

    struct Running {
        agent: Arc<Told>,
        is_up: watch::Sender<bool>,
        document: watch::Receiver<Document>,
        began: Instant,
    }

    fn run(interval: Option<Duration>) -> Running {
        let document = json!({"id": "a", "endpoint": "http://localhost:8001/mcp"});
        let (registration, _) = Registration::from_value(&document).unwrap();
        let agent = Arc::new(Told::default());
        let plan = Plan { interval, entries: Vec::new() };
        let (inventory, document) =
            Inventory::new(Arc::clone(&agent) as Arc<dyn OwnAgent>, registration, plan);
        let (is_up, up_seen) = watch::channel(false);
        tokio::spawn(inventory.run(up_seen, CancellationToken::new()));
        Running { agent, is_up, document, began: Instant::now() }
    }

    fn tools(names: &[&str], ttl: u64) -> Value {
        let tools: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"tools": tools, "ttlMs": ttl})
    }

    fn names(document: &watch::Receiver<Document>) -> Vec<String> {
        document.borrow().registration.capabilities.iter().map(|one| one.name.clone()).collect()
    }

    async fn seconds(seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_is_asked_when_it_is_up_and_then_every_half_minute() {
        let running = run(None);
        running.agent.says(tools(&["a"], 0));
        seconds(100).await;
        assert!(running.agent.asked(running.began).is_empty() && running.document.borrow().pending.is_some());
        running.is_up.send_replace(true);
        seconds(61).await;
        assert_eq!(
            (names(&running.document), &running.document.borrow().pending),
            (vec!["a".to_owned()], &None)
        );
        assert_eq!(running.agent.asked(running.began), [100.0, 130.0, 160.0]);
        running.is_up.send_replace(false);
        seconds(100).await;
        running.is_up.send_replace(true);
        seconds(1).await;
        assert_eq!(running.agent.asked(running.began)[3..], [261.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_agents_word_that_its_list_lasts_is_taken_for_five_minutes_unless_the_manifest_says_otherwise()
     {
        for (interval, ttl, expected) in
            [(None, 60_000, 60.0), (None, u64::MAX, 300.0), (Some(Duration::from_secs(7)), 60_000, 7.0)]
        {
            let running = run(interval);
            running.agent.says(tools(&["a"], ttl));
            running.is_up.send_replace(true);
            seconds(400).await;
            assert_eq!(running.agent.asked(running.began)[..2], [0.0, expected]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_announcement_makes_it_ask_at_once_and_many_make_it_ask_once() {
        let mut running = run(None);
        running.agent.says(tools(&["a"], 600_000));
        running.is_up.send_replace(true);
        seconds(10).await;
        running.document.mark_unchanged();
        running.agent.says(tools(&["b", "a"], 600_000));
        for _ in 0..5 {
            running.agent.announces.notify_one();
            sleep(Duration::from_millis(5)).await;
        }
        running.document.changed().await.unwrap();
        assert_eq!(names(&running.document), ["a", "b"]);
        seconds(10).await;
        assert!(running.agent.asked(running.began).len() <= 3, "{:?}", running.agent.asked(running.began));
        assert!(!running.document.has_changed().unwrap(), "the same again changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_cannot_be_read_is_asked_for_again_with_growing_pauses_and_leaves_the_last_standing()
    {
        let running = run(None);
        running.agent.says(json!("rubbish"));
        running.is_up.send_replace(true);
        seconds(60).await;
        let pending = running.document.borrow().pending.clone();
        assert!(pending.is_some_and(|reason| reason.contains("is no list of tools")));
        let asked = running.agent.asked(running.began);
        assert!(
            (8..30).contains(&asked.len()) && asked[1] <= 0.2 && asked[59.min(asked.len() - 1)] > 50.0,
            "{asked:?}"
        );
        running.agent.says(tools(&["a"], 0));
        seconds(11).await;
        assert_eq!(names(&running.document), ["a"]);
        *running.agent.says.lock().unwrap() = None;
        seconds(200).await;
        assert_eq!(
            (names(&running.document), &running.document.borrow().pending),
            (vec!["a".to_owned()], &None)
        );
        running.agent.says(tools(&["b"], 0));
        seconds(60).await;
        assert_eq!(names(&running.document), ["b"]);
    }
}
