//! What happens in the demo, from beginning to end.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::demo::cast::Said;
use crate::demo::screen::Screen;
use crate::demo::traffic::Tally;
use crate::demo::troupe::{CAPABILITY, LOOK, PATIENCE, PROVIDERS, Troupe};

/// Calls of each scene.
const CALLS: usize = 300;
/// Callers at work at the same time.
const CALLERS: usize = 4;
/// Pause between two calls of one caller, so that a person can watch.
const PAUSE: Duration = Duration::from_millis(15);
/// How long calls run before something happens to the mesh.
const HALF_WAY: Duration = Duration::from_millis(500);
/// How long the registry stays away.
const OUTAGE: Duration = Duration::from_secs(1);
/// The provider that dies.
const VICTIM: usize = 1;

/// The demo under way.
struct Story {
    screen: Screen,
    troupe: Troupe,
    heard: mpsc::UnboundedReceiver<Said>,
}

/// Plays the demo. With `--once` among `arguments` it ends after the show, otherwise with Ctrl-C.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let once = match arguments.get(1).and_then(|argument| argument.to_str()) {
        None => false,
        Some("--once") => true,
        Some(_) => {
            Screen::open().line("usage: cargo demo [--once]   (--once ends after the show)");
            return ExitCode::from(64);
        }
    };
    match play(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            Screen::open().line(&format!("\nThe demo failed: {fault:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whichever way the demo ends, everybody who plays ends with it.
#[tokio::main]
async fn play(once: bool) -> anyhow::Result<()> {
    tokio::select! {
        shown = show(once) => shown,
        ended = told_to_end() => {
            Screen::open().line("\nGood-bye.");
            ended
        }
    }
}

async fn told_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        outcome = tokio::signal::ctrl_c() => outcome.context("Ctrl-C cannot be waited for"),
    }
}

async fn show(once: bool) -> anyhow::Result<()> {
    let mut story = Story::begin().await?;
    story.calls_flow().await?;
    story.a_provider_dies().await?;
    story.the_registry_restarts().await?;
    story.the_provider_returns().await?;
    if once {
        story.screen.line("\nDone: every call was answered.");
        return Ok(());
    }
    story.invite();
    std::future::pending().await
}

impl Story {
    async fn begin() -> anyhow::Result<Self> {
        let screen = Screen::open();
        screen.scene("A registry, three real MCP agents, and a sidecar beside each of them");
        let (said, mut heard) = mpsc::unbounded_channel();
        let troupe = Troupe::assemble(TempDir::new()?, said).await?;
        screen.fact("registry", &format!("http://{}  (durable, in a fresh folder)", troupe.registry.address));
        for (name, agent) in PROVIDERS.iter().zip(&troupe.agents) {
            screen.fact(name, &format!("http://{}/mcp  (its sidecar registered it)", agent.address));
        }
        screen.fact(
            "caller",
            &format!("http://{}  (all it knows is its own localhost)", troupe.caller.address),
        );
        while heard.try_recv().is_ok() {}
        Ok(Self { screen, troupe, heard })
    }

    async fn calls_flow(&mut self) -> anyhow::Result<()> {
        self.screen.scene(&format!("POST http://{}/call/{CAPABILITY}", self.troupe.caller.address));
        let result = self.troupe.traffic.call().await.map_err(anyhow::Error::msg)?;
        let took = self.troupe.caller_began.elapsed().as_millis();
        self.troupe.traffic.take_tally();
        self.screen.fact("result", &result["structuredContent"].to_string());
        self.screen.well(&format!("the first answer came {took} ms after the caller's sidecar was started"));
        self.start_calls().await?;
        self.judge("before anything happens").map(drop)
    }

    async fn a_provider_dies(&mut self) -> anyhow::Result<()> {
        let victim = PROVIDERS[VICTIM];
        self.screen.scene(&format!("kill -9 {victim} in the middle of {CALLS} calls"));
        let calls = self.start_calls();
        sleep(HALF_WAY).await;
        self.screen.event(&format!("{victim} (process {}) is killed", self.troupe.agents[VICTIM].id()));
        self.troupe.agents[VICTIM].kill().await?;
        calls.await?;
        self.tell_what_was_said();
        let tally = self.judge("while a provider died")?;
        ensure!(tally.served.len() == PROVIDERS.len(), "not everybody served: {}", tally.by_agent());
        self.explain().await
    }

    async fn the_registry_restarts(&mut self) -> anyhow::Result<()> {
        self.screen.scene("kill -9 the registry, and start it again while calls go on");
        self.troupe.registry.kill().await?;
        self.screen.event("the registry is killed");
        let calls = self.start_calls();
        sleep(OUTAGE).await;
        self.troupe.restart_registry().await?;
        self.screen.event("the registry is back, with every registration that it had acknowledged");
        calls.await?;
        self.tell_what_was_said();
        self.judge("while the registry was away").map(drop)
    }

    async fn the_provider_returns(&mut self) -> anyhow::Result<()> {
        let victim = PROVIDERS[VICTIM];
        self.screen.scene(&format!("{victim} is started again"));
        self.troupe.restart_agent(VICTIM).await?;
        let began = Instant::now();
        while !self.troupe.traffic.take_tally().served.contains_key(victim) {
            ensure!(began.elapsed() < PATIENCE, "{victim} serves nobody");
            self.troupe.traffic.run(CALLERS, CALLERS, LOOK, |_| {}).await;
        }
        self.tell_what_was_said();
        self.screen.well(&format!("it serves again after {} ms", began.elapsed().as_millis()));
        self.start_calls().await?;
        self.judge("after everything happened").map(drop)
    }

    fn invite(&self) {
        let (caller, registry) = (self.troupe.caller.address, self.troupe.registry.address);
        let agent = &self.troupe.agents[0];
        self.screen.scene("Everything keeps running. Try it:");
        for command in [
            format!(
                "curl -s http://{caller}/call/{CAPABILITY} -d '{{\"text\": \"One. Two. Three.\", \"sentences\": 1}}'"
            ),
            format!("curl -s http://{caller}/explain/{CAPABILITY}"),
            format!("curl -s 'http://{registry}/agents?status=healthy&label_selector=demo=quickstart'"),
            format!("curl -s 'http://{registry}/capabilities?name=sumarise&fuzzy_match=true'"),
            format!("kill -9 {}    ({}; call again, and look at /explain)", agent.id(), PROVIDERS[0]),
        ] {
            self.screen.line(&format!("  {command}"));
        }
        self.screen.line(&format!("  http://{registry}/ in a browser is the dashboard\n\nCtrl-C ends it."));
    }

    /// Lets the callers make their calls, and shows how they come along.
    fn start_calls(&self) -> JoinHandle<()> {
        let (traffic, screen) = (self.troupe.traffic.clone(), self.screen);
        tokio::spawn(async move {
            traffic.run(CALLS, CALLERS, PAUSE, |tally| screen.passing(&tally.by_agent())).await;
        })
    }

    /// Shows what came of the calls of a scene. One failed call fails the demo.
    fn judge(&self, when: &str) -> anyhow::Result<Tally> {
        let tally = self.troupe.traffic.take_tally();
        self.screen.fact("served", &tally.by_agent());
        let mut more = format!("slowest {} ms", tally.slowest.as_millis());
        if tally.retried > 0 {
            more = format!("{} answered by another attempt, {more}", tally.retried);
        }
        if tally.stale > 0 {
            more = format!("{} answered from memory of the registry, {more}", tally.stale);
        }
        let (answered, failed) = (tally.answered(), tally.failed.len());
        if let Some(fault) = tally.failed.first() {
            bail!("{failed} of {} calls failed {when}: {fault}", answered + failed);
        }
        self.screen.well(&format!("{answered} calls, 0 failed {when} ({more})"));
        Ok(tally)
    }

    /// Shows what the sidecars logged about failures, retries and breakers.
    fn tell_what_was_said(&mut self) {
        while let Ok(Said { name, line }) = self.heard.try_recv() {
            if let Some(event) = event(&name, &line) {
                self.screen.event(&event);
            }
        }
    }

    async fn explain(&self) -> anyhow::Result<()> {
        let explanation = self.troupe.explanation().await?;
        for candidate in explanation["candidates"].as_array().into_iter().flatten() {
            let word = |key: &str| candidate[key].as_str().unwrap_or_default().to_owned();
            let state =
                format!("{}; registry says {}, breaker {}", word("reason"), word("status"), word("breaker"));
            self.screen.fact(&word("agent_id"), &state);
        }
        Ok(())
    }
}

/// A log line in the words of the demo, if it is worth telling.
fn event(name: &str, line: &Value) -> Option<String> {
    let word = |key: &str| line[key].as_str().unwrap_or_default();
    let about = word("agent.id");
    match word("message") {
        "an attempt failed" => {
            Some(format!("{name}: attempt at {about} failed ({}); {}", word("fault"), word("decision")))
        }
        "a circuit breaker changed" => {
            Some(format!("{name}: the breaker of {about} is now {}", word("breaker").to_lowercase()))
        }
        "our agent is down" => Some(format!("{name}'s sidecar: our agent is down; the registry is told")),
        "our agent is up" => Some(format!("{name}'s sidecar: our agent is up; the registry is told")),
        _ => None,
    }
}
