//! Kill -9 in the middle of bursts of changes, several times over one directory.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_tests::exchange::{self, Answer};
use mesh_tests::wait::until;

use super::directory::{Directory, catalog, document};

/// Clients that write at the same time, so that the store commits groups.
const WRITERS: usize = 8;
/// Times the registry is killed.
const KILLS: usize = 5;
/// Acknowledged changes before the first kill.
const CHANGES: usize = 50;
/// By so many changes each kill comes later than the one before, to hit another moment of the writers' work.
const LATER: usize = 7;

/// What may be true of an agent after a crash.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// The last version that was acknowledged; 0 for none.
    version: u64,
    may_be_here: bool,
    may_be_gone: bool,
}

/// A client of one registry, as long as that lives.
struct Writer {
    address: SocketAddr,
    name: String,
    /// Changes that were acknowledged to all writers together.
    acknowledged: Arc<AtomicUsize>,
    fates: HashMap<String, Fate>,
}

impl Writer {
    /// Changes agents until the registry is gone.
    async fn run(mut self) -> HashMap<String, Fate> {
        for turn in 0.. {
            let id = format!("{}-{turn}", self.name);
            let mut fate = Fate { version: 0, may_be_here: true, may_be_gone: true };
            let outcome = self.turn(&id, turn, &mut fate).await;
            self.fates.insert(id, fate);
            if let Err(fault) = outcome {
                assert_ne!(fault.kind(), io::ErrorKind::TimedOut, "a registry that runs must answer");
                break;
            }
        }
        self.fates
    }

    /// Registers an agent; every second one is changed and every third removed.
    async fn turn(&self, id: &str, turn: usize, fate: &mut Fate) -> io::Result<()> {
        self.put(id, "first", fate).await?;
        fate.may_be_gone = false;
        if turn.is_multiple_of(2) {
            self.put(id, "second", fate).await?;
        }
        if turn.is_multiple_of(3) {
            fate.may_be_gone = true;
            let target = format!("/agents/{id}");
            let answer = exchange::send(self.address, "DELETE", &target, &[], b"").await?;
            self.acknowledge(&answer, fate);
            fate.may_be_here = false;
        }
        Ok(())
    }

    async fn put(&self, id: &str, step: &str, fate: &mut Fate) -> io::Result<()> {
        let answer = exchange::post(self.address, "/agents", &document(id, step)).await?;
        self.acknowledge(&answer, fate);
        Ok(())
    }

    /// Takes in an answer. Versions only ever grow.
    fn acknowledge(&self, answer: &Answer, fate: &mut Fate) {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let version = answer.json()["resource_version"].as_u64().unwrap_or(0);
        assert!(version > fate.version, "version {version} after {}", fate.version);
        fate.version = version;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets writers at a registry and kills it after so many changes: what they were told.
async fn killed_after(changes: usize, directory: &Directory, round: usize) -> HashMap<String, Fate> {
    let mut registry = directory.open().await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writers = (0..WRITERS).map(|writer| Writer {
        address: registry.address,
        name: format!("round-{round}-writer-{writer}"),
        acknowledged: Arc::clone(&acknowledged),
        fates: HashMap::new(),
    });
    let writers = writers.map(|writer| tokio::spawn(writer.run())).collect::<Vec<_>>();
    let enough = || acknowledged.load(Ordering::Relaxed) >= changes;
    until("enough changes are acknowledged", async || enough().then_some(())).await;
    registry.program.kill().await;
    let mut fates = HashMap::new();
    for writer in writers {
        fates.extend(writer.await.expect("the writer saw nothing wrong"));
    }
    fates
}

fn check(fates: &HashMap<String, Fate>, agents: &HashMap<String, u64>) {
    for (id, fate) in fates {
        match agents.get(id) {
            Some(version) => {
                assert!(fate.may_be_here, "{id} was removed and is back with {version}: {fate:?}");
                assert!(*version >= fate.version, "{id} went back to {version}: {fate:?}");
            }
            None => assert!(fate.may_be_gone, "{id} is lost: {fate:?}"),
        }
    }
}

#[tokio::test]
async fn whatever_was_acknowledged_survives_kill_9_again_and_again() {
    let directory = Directory::new();
    let (mut fates, mut newest) = (HashMap::new(), 0);
    for round in 0..KILLS {
        let written = killed_after(CHANGES + LATER * round, &directory, round).await;
        let versions = || written.values().map(|fate| fate.version).filter(|version| *version > 0);
        let (first, last) = (versions().min().unwrap_or(0), versions().max().unwrap_or(0));
        assert!(first > newest, "version {first} was given out although {newest} had been reached");
        let (agents, version) = catalog(&directory.open().await).await;
        assert!(version >= last, "the registry is back at {version}, {last} was acknowledged");
        newest = version;
        fates.extend(written);
        check(&fates, &agents);
    }
}
