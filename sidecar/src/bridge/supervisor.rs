//! Keeps the program of our agent running: starts it, opens the conversation, and starts it again when it ends.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use mesh_mcp::front::relay::nature;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::child::{Child, Program};
use super::greeting::greet;
use super::hearing::{Ended, Hearing};
use super::murmur;
use super::restarts::{Pause, Policy, Restarts};
use super::talk::Talk;
use crate::error::chain;
use crate::speech::US;
use crate::warden;

/// Time for what a program has printed before its end to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is kept running, and how.
#[derive(Debug, Clone)]
pub struct Charge {
    /// The agent's id, for the log.
    pub agent_id: String,
    /// What to run.
    pub program: Program,
    /// When it is started again.
    pub policy: Policy,
    /// The program that becomes a warden.
    pub warden: PathBuf,
}

/// How the program is.
#[derive(Debug, Clone)]
pub enum State {
    /// It can be asked.
    Up(Arc<Talk>),
    /// It cannot be asked before then.
    Down(Instant),
}

/// Keeps a program running.
#[derive(Debug)]
pub struct Supervisor {
    charge: Charge,
    state: watch::Sender<State>,
    is_up: watch::Sender<bool>,
}

/// Why a program that ran, or should have, does not run any more.
#[derive(Debug, thiserror::Error)]
enum Fall {
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    #[error("it ended: {0}")]
    Exit(ExitStatus),
    #[error("the conversation with it ended")]
    Talk(#[source] Ended),
    #[error("it cannot be waited for")]
    Wait(#[source] io::Error),
}

// === impl Charge ===

impl Charge {
    /// The program of the agent `agent_id`, which is started again as usual.
    pub fn of(agent_id: &str, program: Program) -> Self {
        let (agent_id, policy) = (agent_id.to_owned(), Policy::default());
        Self { agent_id, program, policy, warden: warden::program() }
    }
}

// === impl Supervisor ===

impl Supervisor {
    /// Will keep `charge` running, and say in `state` and `is_up` how it is.
    pub fn new(charge: Charge, state: watch::Sender<State>, is_up: watch::Sender<bool>) -> Self {
        Self { charge, state, is_up }
    }

    /// Keeps the program running until `stop`, then ends it in order.
    pub async fn run(self, stop: CancellationToken) {
        let mut restarts = Restarts::new(self.charge.policy, Instant::now());
        while !stop.is_cancelled() {
            let (fall, lived) = self.once(&stop).await;
            let Some(fall) = fall else { break };
            let pause = restarts.after(lived, Instant::now());
            self.say(&fall, pause);
            self.down(pause.time);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = sleep(pause.time) => {}
            }
        }
        self.down(Duration::ZERO);
    }

    /// From one start to the end that follows; no reason when it was told to end. Also how long it could be asked.
    async fn once(&self, stop: &CancellationToken) -> (Option<Fall>, Duration) {
        let (mut child, pipes) = match Child::start(&self.charge.program, &self.charge.warden) {
            Ok(started) => started,
            Err(fault) => return (Some(Fall::Start(fault)), Duration::ZERO),
        };
        tracing::debug!(agent.id = self.charge.agent_id, pid = child.id(), "our agent is started");
        let agent_id = self.charge.agent_id.clone();
        // The program's life hangs on this pipe, so it is read for as long as it is there.
        let mut beside = tokio::spawn(async move { murmur::log(pipes.beside, &agent_id).await });
        let mut since = None;
        let fall = {
            let talking = self.talk(pipes.input, pipes.output, &mut since);
            tokio::pin!(talking);
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                ended = &mut talking => Some(Fall::Talk(ended)),
                ended = child.ended() => {
                    timeout(LAST_WORDS, &mut talking).await.ok();
                    Some(ended.map_or_else(Fall::Wait, Fall::Exit))
                }
            }
        };
        self.hang_up();
        // Its input is closed by now.
        let ended = child.end().await;
        if timeout(LAST_WORDS, &mut beside).await.is_err() {
            beside.abort();
        }
        let fall = match (fall, ended) {
            (Some(Fall::Talk(Ended::Silent)), Ok(status)) => Some(Fall::Exit(status)),
            (fall, _) => fall,
        };
        (fall, since.map_or(Duration::ZERO, |since: Instant| since.elapsed()))
    }

    async fn talk(&self, mut input: ChildStdin, output: ChildStdout, since: &mut Option<Instant>) -> Ended {
        let mut hearing = Hearing::new(output);
        let nature = match greet(&mut hearing, &mut input).await {
            Ok(nature) => nature,
            Err(ended) => return ended,
        };
        tracing::info!(agent.id = self.charge.agent_id, current = nature.is_current, "our agent is up");
        let listen = (nature.is_current && nature.announces()).then(|| nature::listen(US));
        let (talk, lines) = Talk::begin(nature);
        *since = Some(Instant::now());
        self.state.send_replace(State::Up(Arc::clone(&talk)));
        self.is_up.send_replace(true);
        let hearing = async {
            loop {
                match hearing.next().await {
                    Ok(said) => talk.hear(said),
                    Err(ended) => return ended,
                }
            }
        };
        // A program that reads no more may still have something to say.
        let writing = async {
            write(input, listen, lines).await;
            std::future::pending().await
        };
        tokio::select! {
            ended = hearing => ended,
            ended = writing => ended,
        }
    }

    /// Whoever waits for an answer is told that there is none.
    fn hang_up(&self) {
        let before = self.state.send_replace(State::Down(Instant::now()));
        self.is_up.send_replace(false);
        if let State::Up(talk) = before {
            talk.end();
        }
    }

    fn down(&self, pause: Duration) {
        self.state.send_replace(State::Down(Instant::now() + pause));
    }

    fn say(&self, fall: &Fall, pause: Pause) {
        let (agent_id, reason, seconds) = (&self.charge.agent_id, chain(fall), pause.time.as_secs_f64());
        if pause.is_rare {
            tracing::error!(
                agent.id = agent_id,
                reason,
                seconds,
                "our agent is down again and again; it is tried rarely from now on: look at what it prints and at the manifest's endpoint"
            );
        } else {
            tracing::warn!(agent.id = agent_id, reason, seconds, "our agent is down and is started again");
        }
    }
}

/// Writes lines until there are none any more, or nobody reads them.
async fn write(mut input: ChildStdin, first: Option<Vec<u8>>, mut lines: mpsc::Receiver<Vec<u8>>) {
    let mut next = first;
    loop {
        let Some(mut line) = next else {
            next = match lines.recv().await {
                Some(line) => Some(line),
                None => return,
            };
            continue;
        };
        line.push(b'\n');
        if input.write_all(&line).await.is_err() {
            return;
        }
        next = None;
    }
}
