//! What every store engine promises, checked against each of them, etcd among them; and what only etcd can do.

#![cfg(test)]

mod cluster;
mod every;

use std::time::Duration;

use jiff::Timestamp;
use mesh_api::agent::Registration;
use mesh_api::health::Reported;
use mesh_registry::store::Store;
use mesh_registry::store::change::{Beat, Change, Changed, Draft, Event, Snapshot};
use mesh_registry::store::follower::Changes;
use mesh_tests::etcd::Etcd;
use serde_json::json;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// One store of every kind.
struct Engines {
    stores: Vec<Store>,
    _directory: TempDir,
    _etcd: Etcd,
}

impl Engines {
    async fn open() -> Self {
        let (directory, etcd) = (tempfile::tempdir().unwrap(), Etcd::start(1).await);
        let urls = ["memory:".to_owned(), format!("file:{}", directory.path().display()), etcd.url()];
        let mut stores = Vec::new();
        for url in urls {
            stores.push(open(&url).await);
        }
        Self { stores, _directory: directory, _etcd: etcd }
    }
}

async fn open(url: &str) -> Store {
    Store::open(&url.parse().unwrap(), PATIENCE).await.unwrap()
}

fn put(id: &str, incarnation: Option<u64>) -> Change {
    put_large(id, incarnation, 0)
}

/// A registration with so many bytes that mean nothing.
fn put_large(id: &str, incarnation: Option<u64>, ballast: usize) -> Change {
    let capabilities = json!([{"name": "x", "tags": ["t"]}]);
    let config = json!({"ballast": "x".repeat(ballast)});
    let document = json!({
        "id": id, "endpoint": "http://h:1/", "capabilities": capabilities, "weight": 0.1, "config": config,
    });
    let document = serde_json::to_string(&Registration::from_value(&document).unwrap().0).unwrap().into();
    let (id, now) = (id.into(), Timestamp::UNIX_EPOCH);
    Change::Put(Box::new(Draft { id, document, created_at: now, updated_at: now, owner: None, incarnation }))
}

fn beat(at: i64, life: u64, reported: Reported) -> Beat {
    Beat { at, life, reported, said: Some(r#"{"load":3}"#.into()), via: None }
}

async fn snapshot(changes: &mut Changes) -> Snapshot {
    match changes.next().await.remove(0) {
        Event::Snapshot(snapshot) => snapshot,
        other => panic!("the stream opens with {other:?}"),
    }
}

/// The next `count` changes of registrations.
async fn changed(changes: &mut Changes, count: usize) -> Vec<Changed> {
    let mut all = Vec::new();
    while all.len() < count {
        let events = changes.next().await;
        assert!(!events.is_empty(), "the stream ended after {all:?}");
        all.extend(events.into_iter().filter_map(|event| match event {
            Event::Changed(changed @ (Changed::Put(_) | Changed::Removed { .. })) => Some(changed),
            Event::Changed(_) => None,
            Event::Snapshot(_) => panic!("a snapshot without a gap"),
        }));
    }
    all
}

/// The revisions of the next `count` changes of registrations.
async fn revisions(changes: &mut Changes, count: usize) -> Vec<u64> {
    changed(changes, count).await.iter().map(Changed::revision).collect()
}
