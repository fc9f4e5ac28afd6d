//! What happens in the demo, from beginning to end.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::demo::cast::{self, Actor, Part, Said};
use crate::demo::screen::Screen;
use crate::demo::traffic::{Tally, Traffic};

/// What is called.
const CAPABILITY: &str = "summarize";
/// The providers.
const PROVIDERS: [&str; 3] = ["summarizer-a", "summarizer-b", "summarizer-c"];
/// Calls of each scene.
const CALLS: usize = 300;
/// Longest wait for the mesh to notice something.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at it.
const LOOK: Duration = Duration::from_millis(50);
/// How long calls run before something happens to the mesh.
const HALF_WAY: Duration = Duration::from_millis(500);
/// Seconds for which the caller's sidecar uses a discovery answer.
const DISCOVERY_FRESH: &str = "1";
/// How long the registry stays away.
const OUTAGE: Duration = Duration::from_secs(1);

/// Everybody who plays.
struct Stage {
    screen: Screen,
    folder: TempDir,
    http: reqwest::Client,
    said: mpsc::UnboundedSender<Said>,
    heard: mpsc::UnboundedReceiver<Said>,
    registry: Actor,
    agents: Vec<Actor>,
    /// Held because a part ends with its actor.
    _sidecars: Vec<Actor>,
    caller: Actor,
    traffic: Traffic,
    began: Instant,
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

#[tokio::main]
async fn play(once: bool) -> anyhow::Result<()> {
    let mut stage = Stage::set().await?;
    stage.calls_flow().await?;
    stage.a_provider_dies().await?;
    stage.the_registry_restarts().await?;
    stage.the_provider_returns().await?;
    if once {
        stage.screen.line("\nDone: every call was answered.");
        return Ok(());
    }
    stage.invite();
    tokio::signal::ctrl_c().await.context("Ctrl-C cannot be waited for")?;
    stage.screen.line("\nGood-bye.");
    Ok(())
}

impl Stage {
    /// Starts everybody and makes the first call.
    async fn set() -> anyhow::Result<Self> {
        let screen = Screen::open();
        screen.scene("A registry, three real MCP agents, and a sidecar beside each of them");
        let folder = TempDir::new()?;
        let (said, mut heard) = mpsc::unbounded_channel();
        // reqwest takes the provider that is installed; the demo speaks plain HTTP only.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let registry = start_registry(&folder, "127.0.0.1:0", &said).await?;
        screen.fact("registry", &format!("http://{}  (durable, in a fresh folder)", registry.address));
        let (mut agents, mut sidecars) = (Vec::new(), Vec::new());
        for name in PROVIDERS {
            let agent = start_agent(name, "127.0.0.1:0", &said).await?;
            let sidecar = start_sidecar(&folder, name, Some(&agent), &registry, &said).await?;
            screen.fact(name, &format!("http://{}/mcp  (its sidecar registers it)", agent.address));
            agents.push(agent);
            sidecars.push(sidecar);
        }
        for sidecar in &sidecars {
            ready(&http, sidecar).await?;
        }
        while heard.try_recv().is_ok() {}
        let began = Instant::now();
        let caller = start_sidecar(&folder, "caller", None, &registry, &said).await?;
        screen.fact("caller", &format!("http://{}  (all it knows is its own localhost)", caller.address));
        let traffic = Traffic::new(http.clone(), caller.address, CAPABILITY);
        Ok(Self {
            screen,
            folder,
            http,
            said,
            heard,
            registry,
            agents,
            _sidecars: sidecars,
            caller,
            traffic,
            began,
        })
    }

    async fn calls_flow(&mut self) -> anyhow::Result<()> {
        self.screen.scene(&format!("POST http://{}/call/{CAPABILITY}", self.caller.address));
        let result = self.first_answer().await?;
        let took = self.began.elapsed().as_millis();
        self.traffic.take_tally();
        self.screen.fact("result", &result["structuredContent"].to_string());
        self.screen.well(&format!("the first answer came {took} ms after the caller's sidecar was started"));
        self.everybody_is_known().await?;
        self.calls("before anything happens").await.map(drop)
    }

    async fn a_provider_dies(&mut self) -> anyhow::Result<()> {
        self.screen.scene(&format!("kill -9 {} in the middle of {CALLS} calls", PROVIDERS[1]));
        let traffic = self.traffic.clone();
        let screen = self.screen;
        let running =
            tokio::spawn(async move { traffic.run(CALLS, |tally| screen.passing(&tally.by_agent())).await });
        sleep(HALF_WAY).await;
        self.screen.event(&format!("{} (process {}) is killed", PROVIDERS[1], self.agents[1].id()));
        self.agents[1].kill().await?;
        running.await?;
        self.tell_what_was_said();
        let tally = self.judge("while a provider died")?;
        ensure!(tally.served.len() == PROVIDERS.len(), "not everybody served: {}", tally.by_agent());
        self.explain().await
    }

    async fn the_registry_restarts(&mut self) -> anyhow::Result<()> {
        self.screen.scene("kill -9 the registry, and start it again while calls go on");
        self.registry.kill().await?;
        self.screen.event("the registry is killed");
        let (traffic, screen) = (self.traffic.clone(), self.screen);
        let running =
            tokio::spawn(async move { traffic.run(CALLS, |tally| screen.passing(&tally.by_agent())).await });
        sleep(OUTAGE).await;
        let address = self.registry.address.to_string();
        self.registry = start_registry(&self.folder, &address, &self.said).await?;
        self.screen.event("the registry is back, with every registration it had acknowledged");
        running.await?;
        self.tell_what_was_said();
        self.judge("while the registry was away").map(drop)
    }

    async fn the_provider_returns(&mut self) -> anyhow::Result<()> {
        self.screen.scene(&format!("{} is started again", PROVIDERS[1]));
        let address = self.agents[1].address.to_string();
        self.agents[1] = start_agent(PROVIDERS[1], &address, &self.said).await?;
        let began = Instant::now();
        while !self.traffic.take_tally().served.contains_key(PROVIDERS[1]) {
            ensure!(began.elapsed() < PATIENCE, "{} serves nobody", PROVIDERS[1]);
            self.traffic.run(8, |_| {}).await;
        }
        self.tell_what_was_said();
        self.screen.well(&format!("it serves again after {} ms", began.elapsed().as_millis()));
        self.calls("after everything happened").await.map(drop)
    }

    fn invite(&self) {
        let (screen, caller, registry) = (self.screen, self.caller.address, self.registry.address);
        screen.scene("Everything keeps running. Try it:");
        for command in [
            format!(
                "curl -s http://{caller}/call/{CAPABILITY} -d '{{\"text\": \"One. Two. Three.\", \"sentences\": 1}}'"
            ),
            format!("curl -s http://{caller}/explain/{CAPABILITY}"),
            format!("curl -s 'http://{registry}/agents?status=healthy&label_selector=demo'"),
            format!("curl -s 'http://{registry}/capabilities?name=sumarise&fuzzy_match=true'"),
            format!("open  http://{registry}/    (the dashboard)"),
            format!("kill -9 {}    ({})", self.agents[0].id(), PROVIDERS[0]),
        ] {
            screen.line(&format!("  {command}"));
        }
        screen.line("\nCtrl-C ends it.");
    }

    async fn first_answer(&self) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            match self.traffic.call().await {
                Ok(result) => return Ok(result),
                Err(fault) if began.elapsed() > PATIENCE => bail!("no answer: {fault}"),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Waits until the caller's sidecar knows all providers.
    async fn everybody_is_known(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.explanation().await?["candidates"].as_array().map_or(0, Vec::len) < PROVIDERS.len() {
            ensure!(began.elapsed() < PATIENCE, "the caller does not learn of all providers");
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn calls(&self, when: &str) -> anyhow::Result<Tally> {
        self.traffic.run(CALLS, |tally| self.screen.passing(&tally.by_agent())).await;
        self.judge(when)
    }

    /// Shows what came of the calls of a scene. One failed call fails the demo.
    fn judge(&self, when: &str) -> anyhow::Result<Tally> {
        let tally = self.traffic.take_tally();
        self.screen.fact("served", &tally.by_agent());
        let mut more = format!("slowest {} ms", tally.slowest.as_millis());
        if tally.retried > 0 {
            more = format!("{} answered by a second attempt, {more}", tally.retried);
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

    /// Shows what the sidecars and the registry logged about failures, retries and breakers.
    fn tell_what_was_said(&mut self) {
        while let Ok(Said { name, line }) = self.heard.try_recv() {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let about = text("agent.id");
            match line["message"].as_str().unwrap_or_default() {
                "an attempt failed" => {
                    self.screen.event(&format!(
                        "{name}: attempt at {about} failed ({}); {}",
                        text("fault"),
                        text("decision")
                    ));
                }
                "a circuit breaker changed" => {
                    self.screen.event(&format!(
                        "{name}: the breaker of {about} is now {}",
                        text("breaker").to_lowercase()
                    ));
                }
                "our agent is down" => {
                    self.screen.event(&format!("{name}'s sidecar: our agent is down; the registry is told"))
                }
                "our agent is up" => self.screen.event(&format!("{name}'s sidecar: our agent is up")),
                _ => {}
            }
        }
    }

    async fn explain(&self) -> anyhow::Result<()> {
        let explanation = self.explanation().await?;
        for candidate in explanation["candidates"].as_array().into_iter().flatten() {
            let word = |key: &str| candidate[key].as_str().unwrap_or_default().to_owned();
            let state =
                format!("{}; registry says {}, breaker {}", word("reason"), word("status"), word("breaker"));
            self.screen.fact(&word("agent_id"), &state);
        }
        Ok(())
    }

    async fn explanation(&self) -> anyhow::Result<Value> {
        let url = format!("http://{}/explain/{CAPABILITY}", self.caller.address);
        Ok(self.http.get(url).send().await?.json().await?)
    }
}

/// Waits until the mesh can reach the agent beside `sidecar`.
async fn ready(http: &reqwest::Client, sidecar: &Actor) -> anyhow::Result<()> {
    let began = Instant::now();
    while !http.get(format!("http://{}/readyz", sidecar.address)).send().await?.status().is_success() {
        ensure!(began.elapsed() < PATIENCE, "an agent is not registered in time");
        sleep(LOOK).await;
    }
    Ok(())
}

async fn start_registry(
    folder: &TempDir,
    listen: &str,
    said: &mpsc::UnboundedSender<Said>,
) -> anyhow::Result<Actor> {
    let store = format!("file:{}", folder.path().join("registry").display());
    Part::Registry.start("registry", &["--listen", listen, "--store", &store], said.clone()).await
}

async fn start_agent(name: &str, listen: &str, said: &mpsc::UnboundedSender<Said>) -> anyhow::Result<Actor> {
    Part::Agent.start(name, &["--listen", listen, "--name", name, "--latency", "5"], said.clone()).await
}

async fn start_sidecar(
    folder: &TempDir,
    name: &str,
    agent: Option<&Actor>,
    registry: &Actor,
    said: &mpsc::UnboundedSender<Said>,
) -> anyhow::Result<Actor> {
    let registry = format!("http://{}", registry.address);
    // Discovery answers are used for 1 s instead of 10, so that nobody has to wait to see the mesh change its mind.
    let mut arguments =
        vec!["--listen", "127.0.0.1:0", "--registry", &registry, "--discovery-fresh", DISCOVERY_FRESH];
    let manifest = match agent {
        Some(agent) => Some(cast::write(folder.path(), &format!("{name}.yaml"), &manifest(name, agent))?),
        None => None,
    };
    arguments.extend(manifest.iter().flat_map(|file| ["--manifest", file.as_str()]));
    Part::Sidecar.start(name, &arguments, said.clone()).await
}

fn manifest(name: &str, agent: &Actor) -> String {
    format!(
        "id: {name}\nendpoint: http://{}/mcp\nlabels: {{demo: quickstart}}\nhealth_interval: 5s\n\
         health: {{path: /health, interval: 500ms}}\ncapabilities:\n  - name: {CAPABILITY}\n    version: 1.2.0\n    \
         description: Shortens a text to its most telling sentences.\n    category: text\n    \
         annotations: {{readOnlyHint: true}}\n",
        agent.address
    )
}
