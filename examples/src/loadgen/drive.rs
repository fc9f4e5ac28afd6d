//! Asks a server: as fast as it answers (closed loop), or at a fixed rate whatever it does (open loop).
//!
//! What is asked, and which answer is a good one, the question knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::StatusCode;
use tokio::task::JoinSet;

use super::question::Question;
use super::schedule::{Pacer, Schedule};
use super::tally::{Outcome, Tally};
use super::wire::{Base, Connection, drained};

/// Time that requests of a fixed rate which are late may still be sent; those left then count as not answered.
const GRACE: Duration = Duration::from_secs(1);

/// Something that can be asked again and again.
pub trait Ask: Send + Sync + 'static {
    /// Asks and reads the answer to its end; how many bytes it has. Any answer but a good one is an error.
    fn ask(&self, connection: &mut Connection) -> impl Future<Output = anyhow::Result<usize>> + Send;
}

/// Questions, and open connections to whoever is asked.
#[derive(Debug)]
pub struct Driver<Q = Question> {
    questions: Arc<[Q]>,
    connections: Vec<Connection>,
}

/// One that asks, with a connection of its own.
struct Caller<Q> {
    questions: Arc<[Q]>,
    /// The number of the next request, of all callers.
    next: Arc<AtomicU64>,
    connection: Connection,
    tally: Tally,
}

// === impl Driver ===

impl<Q: Ask> Driver<Q> {
    /// Opens this many connections to `base` and asks once over each.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn connect(base: &Base, questions: Vec<Q>, connections: usize) -> anyhow::Result<Self> {
        ensure!(!questions.is_empty(), "there is nothing to ask");
        let mut open = Vec::new();
        for number in 0..connections.max(1) {
            let mut connection = Connection::to(base);
            questions[number % questions.len()].ask(&mut connection).await?;
            open.push(connection);
        }
        Ok(Self { questions: questions.into(), connections: open })
    }

    /// Asks over every connection as soon as the answer before is there, for `time`.
    ///
    /// # Errors
    /// When a caller panics; what is wrong with answers is in the outcome.
    pub async fn closed(&mut self, time: Duration) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let end = began + time;
        self.each(began, move |mut caller| async move {
            while Instant::now() < end {
                let number = caller.next.fetch_add(1, Ordering::Relaxed);
                caller.ask(number, Instant::now()).await;
            }
            caller
        })
        .await
    }

    /// Asks so many times in all, over every connection as soon as the answer before is there.
    ///
    /// # Errors
    /// As [`Self::closed`].
    pub async fn times(&mut self, count: u64) -> anyhow::Result<Outcome> {
        self.each(Instant::now(), move |mut caller| async move {
            loop {
                let number = caller.next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    break caller;
                }
                caller.ask(number, Instant::now()).await;
            }
        })
        .await
    }

    /// Asks `per_second` times in each second, for `time`, and measures from when each request was due.
    ///
    /// # Errors
    /// As [`Self::closed`].
    pub async fn open(&mut self, per_second: f64, time: Duration) -> anyhow::Result<Outcome> {
        let schedule = Schedule { began: Instant::now(), per_second };
        let all = (time.as_secs_f64() * per_second) as u64;
        let pacer = Pacer::start(schedule, Duration::ZERO)?;
        let due = Arc::clone(&pacer.due);
        let patience = schedule.began + time + GRACE;
        self.each(schedule.began, move |mut caller| {
            let due = Arc::clone(&due);
            async move {
                while let Ok(permit) = due.acquire().await {
                    permit.forget();
                    let number = caller.next.fetch_add(1, Ordering::Relaxed);
                    // The pacer goes on, so every caller comes here and sees that all is done.
                    if number >= all {
                        break;
                    }
                    let now = Instant::now();
                    if now < patience {
                        caller.ask(number, schedule.at(number)).await;
                    } else {
                        let late = now.saturating_duration_since(schedule.at(number));
                        caller.tally.late(late);
                    }
                }
                caller
            }
        })
        .await
    }

    /// Lets a caller work on each connection, and puts together what they tell.
    async fn each<W, F>(&mut self, began: Instant, work: W) -> anyhow::Result<Outcome>
    where
        W: Fn(Caller<Q>) -> F,
        F: Future<Output = Caller<Q>> + Send + 'static,
    {
        let (next, mut callers, mut tally) = (Arc::default(), JoinSet::new(), Tally::default());
        for connection in self.connections.drain(..) {
            let (questions, next) = (Arc::clone(&self.questions), Arc::clone(&next));
            callers.spawn(work(Caller { questions, next, connection, tally: Tally::default() }));
        }
        while let Some(caller) = callers.join_next().await {
            let caller = caller.context("a caller panicked")?;
            self.connections.push(caller.connection);
            tally.merge(caller.tally);
        }
        Ok(tally.conclude(began.elapsed()))
    }
}

// === impl Caller ===

impl<Q: Ask> Caller<Q> {
    async fn ask(&mut self, number: u64, since: Instant) {
        let question = &self.questions[(number % self.questions.len() as u64) as usize];
        let asked = question.ask(&mut self.connection).await;
        let latency = since.elapsed();
        match asked {
            Ok(bytes) => self.tally.answered(latency, bytes),
            Err(fault) => self.tally.failed(latency, || format!("{fault:#}")),
        }
    }
}

// === impl Ask ===

impl Ask for Question {
    async fn ask(&self, connection: &mut Connection) -> anyhow::Result<usize> {
        let response = connection.get(&self.target, self.etag.as_ref()).await?;
        let (status, bytes) = (response.status(), drained(response).await?);
        let is_unchanged = status == StatusCode::NOT_MODIFIED && self.etag.is_some();
        ensure!(status == StatusCode::OK || is_unchanged, "{} is answered with {status}", self.target);
        Ok(bytes)
    }
}
