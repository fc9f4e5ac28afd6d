//! A fleet of agents that register and send heartbeats as sidecars do, and a witness of what becomes of them: whatever
//! was acknowledged must be found with every registry, and nobody who lives may expire.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_api::agent::Registration;
use mesh_api::error::Code;
use mesh_api::heartbeat::Heartbeat;
use mesh_client::client::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::exchange;
use crate::wait::until;

/// Time between two heartbeats: agents degrade after two of these and expire after four.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pause between two registrations of the writer, and after one that failed.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause between two looks of the witness.
const LOOK: Duration = Duration::from_millis(200);
/// Time that a registry has for each request.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Agents at work.
#[derive(Debug)]
pub struct Fleet {
    record: Arc<Mutex<Record>>,
    /// Ends with the fleet.
    tasks: JoinSet<()>,
}

/// What became of a fleet so far.
#[derive(Debug, Clone)]
pub struct Record {
    /// The newest version of each agent's registration that a registry has acknowledged.
    pub acknowledged: BTreeMap<String, u64>,
    /// Agents that a registry said it does not know, although they were acknowledged.
    pub forgotten: Vec<String>,
    /// Agents that were seen as expired or gone although they live, and where.
    pub expired: Vec<String>,
    /// The longest time without an acknowledged registration that is over, and when the last one was.
    pub longest_gap: Duration,
    last: Instant,
    /// Heartbeats that a registry took.
    pub heard: usize,
    /// Heartbeats that no registry took.
    pub unheard: usize,
}

/// What a registry says of an agent: the version of its registration, its status, and what its heartbeats said.
type Seen = BTreeMap<String, (u64, String, Value)>;

impl Fleet {
    /// Registers so many agents with these registries, each with one of them for its home, and keeps them alive; beside
    /// them, somebody registers one agent after the other.
    pub async fn start(agents: usize, registries: &[String]) -> Self {
        let record = Record {
            acknowledged: BTreeMap::new(),
            forgotten: Vec::new(),
            expired: Vec::new(),
            longest_gap: Duration::ZERO,
            last: Instant::now(),
            heard: 0,
            unheard: 0,
        };
        let (record, mut tasks) = (Arc::new(Mutex::new(record)), JoinSet::new());
        for number in 0..agents {
            let (client, record) = (client(registries), Arc::clone(&record));
            tasks.spawn(live(format!("agent-{number}"), client, record));
        }
        tasks.spawn(write(client(registries), Arc::clone(&record)));
        let this = Self { record, tasks };
        until("all agents are registered", async || {
            let acknowledged = &this.record().acknowledged;
            (acknowledged.keys().filter(|id| is_alive(id)).count() == agents).then_some(())
        })
        .await;
        this
    }

    /// Watches what a registry says of the living, as long as it answers.
    pub fn witness(&mut self, registry: SocketAddr) {
        let record = Arc::clone(&self.record);
        self.tasks.spawn(async move {
            loop {
                sleep(LOOK).await;
                let Ok(answer) = exchange::get(registry, "/agents?status=expired").await else { continue };
                let answer = answer.json();
                let expired = ids(&answer).filter(|id| is_alive(id)).map(|id| format!("{id} at {registry}"));
                lock(&record).expired.extend(expired);
            }
        });
    }

    /// What became of it so far.
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Waits until each agent has been heard so many times more, on average.
    pub async fn lives_for(&self, heartbeats: usize) {
        let record = self.record();
        let agents = record.acknowledged.keys().filter(|id| is_alive(id)).count();
        let wanted = record.heard + heartbeats * agents;
        until("the agents are heard", async || (self.record().heard >= wanted).then_some(())).await;
    }

    /// Waits until another registration is acknowledged, all these registries know every agent that was acknowledged by
    /// then, in the same version, and all that live are healthy everywhere. Returns how long that took.
    pub async fn converges(&self, registries: &[SocketAddr]) -> Duration {
        let began = Instant::now();
        until("registrations go on", async || (self.record().last > began).then_some(())).await;
        let wanted = self.record().acknowledged;
        for registry in registries {
            until(&format!("{registry} knows everybody"), async || {
                let seen = seen(*registry).await?;
                wanted.iter().all(|(id, version)| is_known(&seen, id, *version)).then_some(())
            })
            .await;
        }
        began.elapsed()
    }

    /// Ends the agents, and fails if any that was acknowledged is lost, any that lived has expired, or the registries
    /// differ in the end.
    ///
    /// # Panics
    /// When something is wrong.
    pub async fn conclude(mut self, registries: &[SocketAddr]) -> Record {
        self.converges(registries).await;
        self.tasks.shutdown().await;
        let record = self.record();
        assert!(record.forgotten.is_empty(), "acknowledged and not known any more: {:?}", record.forgotten);
        assert!(record.expired.is_empty(), "alive and expired: {:?}", record.expired);
        until("all registries know the same", async || {
            let mut catalogs = Vec::new();
            for registry in registries {
                let agents = seen(*registry).await?.into_iter();
                let agents = agents.map(|(id, (version, _, said))| (id, (version, said)));
                catalogs.push(agents.collect::<BTreeMap<_, _>>());
            }
            catalogs.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        })
        .await;
        record
    }
}

/// The life of one agent.
async fn live(id: String, client: Client, record: Arc<Mutex<Record>>) {
    let registration = registration(&id, INTERVAL);
    let (mut heartbeat, mut turn) = (None::<Heartbeat>, 0);
    loop {
        match &mut heartbeat {
            None => match client.register(&registration).await {
                Ok(registered) => {
                    let version = registered.resource_version;
                    lock(&record).acknowledged.insert(id.clone(), version);
                    let alive = json!({"agent_id": id, "resource_version": version});
                    heartbeat = Heartbeat::from_value(&alive).ok();
                    continue;
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(alive) => {
                // One thing that never changes and one that does now and then.
                turn += 1;
                alive.metadata =
                    json!({"kind": "test", "turn": turn / 3}).as_object().cloned().unwrap_or_default();
                match client.heartbeat(alive).await {
                    Ok(_) => lock(&record).heard += 1,
                    Err(fault) if fault.code() == Some(Code::AgentNotFound) => {
                        lock(&record).forgotten.push(id.clone());
                        heartbeat = None;
                    }
                    Err(_) => lock(&record).unheard += 1,
                }
                sleep(INTERVAL).await;
            }
        }
    }
}

/// Registers one agent after the other, none of which is ever heard.
async fn write(client: Client, record: Arc<Mutex<Record>>) {
    for number in 0_u64.. {
        let id = format!("extra-{number}");
        let registration = registration(&id, Duration::from_secs(3_600));
        while !client.register(&registration).await.is_ok_and(|registered| {
            let mut record = lock(&record);
            record.acknowledged.insert(id.clone(), registered.resource_version);
            record.longest_gap = record.longest_gap.max(record.last.elapsed());
            record.last = Instant::now();
            true
        }) {
            sleep(PAUSE).await;
        }
        sleep(PAUSE).await;
    }
}

fn registration(id: &str, interval: Duration) -> Registration {
    let document = json!({
        "id": id,
        "endpoint": "http://127.0.0.1:9/",
        "capabilities": [{"name": "work"}],
        "health_interval": interval.as_secs_f64(),
    });
    Registration::from_value(&document).expect("a valid document").0
}

fn client(registries: &[String]) -> Client {
    Client::new(registries, TIMEOUT).expect("addresses of registries")
}

/// Whether an agent of this id sends heartbeats.
fn is_alive(id: &str) -> bool {
    id.starts_with("agent-")
}

fn is_known(seen: &Seen, id: &str, version: u64) -> bool {
    let fits = |(known, status, _): &(u64, String, Value)| {
        *known >= version && (!is_alive(id) || status == "healthy")
    };
    seen.get(id).is_some_and(fits)
}

async fn seen(registry: SocketAddr) -> Option<Seen> {
    let answer = exchange::get(registry, "/agents").await.ok()?.json();
    let agents = answer["agents"].as_array()?;
    let seen = |agent: &Value| {
        let text = |name: &str| Some(agent[name].as_str()?.to_owned());
        let version = agent["resource_version"].as_u64()?;
        Some((text("id")?, (version, text("status")?, agent["metadata"].clone())))
    };
    agents.iter().map(seen).collect()
}

fn ids(answer: &Value) -> impl Iterator<Item = &str> {
    answer["agents"].as_array().into_iter().flatten().filter_map(|agent| agent["id"].as_str())
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
