//! What every store engine promises, checked against each of them, and what only the file engine can do.

#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::agent::Registration;
use mesh_api::health::Reported;
use mesh_registry::config::Config;
use mesh_registry::server::Rooms;
use mesh_registry::store::Store;
use mesh_registry::store::change::{Beat, Beats, Change, Draft, Event, Snapshot};
use mesh_registry::store::error::{CommitError, OpenError};
use mesh_registry::store::follower::Changes;
use mesh_registry::store::url::StoreUrl;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

/// One store of every kind; the directory lives as long as the test.
async fn every_engine() -> (tempfile::TempDir, [Store; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let stores =
        [Store::open(&StoreUrl::Memory, PATIENCE).await.unwrap(), open(directory.path()).await.unwrap()];
    (directory, stores)
}

async fn open(directory: &Path) -> Result<Store, OpenError> {
    Store::open(&StoreUrl::File(directory.to_owned()), PATIENCE).await
}

fn put(id: &str, incarnation: Option<u64>) -> Change {
    let document = json!({"id": id, "endpoint": "http://h:1/", "capabilities": [{"name": "x", "tags": ["t"]}], "weight": 0.1});
    let document = serde_json::to_string(&Registration::from_value(&document).unwrap().0).unwrap().into();
    let (id, now) = (id.into(), Timestamp::UNIX_EPOCH);
    Change::Put(Box::new(Draft { id, document, created_at: now, updated_at: now, owner: None, incarnation }))
}

async fn snapshot(changes: &mut Changes) -> Snapshot {
    match changes.next().await.remove(0) {
        Event::Snapshot(snapshot) => snapshot,
        other => panic!("the stream opens with {other:?}"),
    }
}

/// The revisions of the next `count` events.
async fn revisions(changes: &mut Changes, count: usize) -> Vec<u64> {
    let mut revisions = Vec::new();
    while revisions.len() < count {
        let events = changes.next().await;
        assert!(!events.is_empty(), "the stream ended after {revisions:?}");
        revisions.extend(events.iter().map(|event| match event {
            Event::Changed(changed) => changed.revision(),
            Event::Snapshot(_) => panic!("a snapshot without a gap"),
        }));
    }
    revisions
}

#[tokio::test]
async fn a_follower_gets_a_snapshot_and_then_every_change_in_order() {
    let (_directory, stores) = every_engine().await;
    for store in stores {
        assert_eq!(store.commit(put("early", None), 0).await.unwrap(), 1, "{store:?}");
        let mut changes = store.changes().await.unwrap();
        let opening = snapshot(&mut changes).await;
        assert_eq!((opening.revision, opening.agents.len()), (1, 1));
        store.commit(put("a", None), 0).await.unwrap();
        store.commit(put("a", Some(2)), 2).await.unwrap();
        store.commit(Change::Remove("a".into()), 3).await.unwrap();
        assert_eq!(revisions(&mut changes, 3).await, [2, 3, 4]);
    }
}

#[tokio::test]
async fn a_life_begins_with_its_own_revision_and_keeps_it() {
    let (_directory, stores) = every_engine().await;
    for store in stores {
        let mut changes = store.changes().await.unwrap();
        snapshot(&mut changes).await;
        store.commit(put("other", None), 0).await.unwrap();
        store.commit(put("a", None), 0).await.unwrap();
        store.commit(put("a", Some(2)), 2).await.unwrap();
        revisions(&mut changes, 3).await;
        let agents = snapshot(&mut store.changes().await.unwrap()).await.agents;
        let a = agents.iter().find(|stored| &*stored.id == "a").unwrap();
        assert_eq!((a.incarnation, a.revision), (2, 3));
    }
}

#[tokio::test]
async fn a_writer_that_knows_an_old_revision_is_told_of_the_conflict() {
    let (_directory, stores) = every_engine().await;
    for store in stores {
        store.commit(put("a", None), 0).await.unwrap();
        for (change, expected) in [(put("a", None), 0), (put("b", None), 7), (Change::Remove("a".into()), 9)]
        {
            let fault = store.commit(change, expected).await.unwrap_err();
            assert!(matches!(fault, CommitError::Conflict { at: 1 }), "{fault:?}");
        }
        assert_eq!(store.trouble(), None);
    }
}

#[tokio::test]
async fn of_many_writers_at_once_exactly_one_wins() {
    let (_directory, stores) = every_engine().await;
    for store in stores {
        let writers = (0..50).map(|_| store.commit(put("a", None), 0));
        let results = futures_util::future::join_all(writers).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{store:?}");
    }
}

#[tokio::test]
async fn many_changes_at_once_get_revisions_without_gaps_in_the_order_told() {
    let (_directory, stores) = every_engine().await;
    for store in stores {
        let mut changes = store.changes().await.unwrap();
        snapshot(&mut changes).await;
        let names = (0..300).map(|i| format!("agent-{i}")).collect::<Vec<_>>();
        let results =
            futures_util::future::join_all(names.iter().map(|id| store.commit(put(id, None), 0))).await;
        assert_eq!(results.into_iter().map(Result::unwrap).max(), Some(300));
        assert!(revisions(&mut changes, 300).await.into_iter().eq(1..=300));
    }
}

#[tokio::test]
async fn flushed_heartbeats_are_in_the_next_snapshot() {
    let (_directory, stores) = every_engine().await;
    for store in stores {
        store.commit(put("a", None), 0).await.unwrap();
        let first = Beat { at: 1_000, life: 1, reported: Reported::Healthy };
        let second = Beat { at: 2_000, life: 1, reported: Reported::Draining };
        for beat in [first, second] {
            store.flush(Arc::new(Beats::from([("a".to_owned(), beat)])), 0).await.unwrap();
        }
        assert_eq!(snapshot(&mut store.changes().await.unwrap()).await.beats["a"], second, "{store:?}");
    }
}

#[tokio::test]
async fn what_is_noticed_gets_revisions_of_its_own_and_a_restart_does_not_forget_them() {
    let (directory, stores) = every_engine().await;
    for store in stores {
        let mut changes = store.changes().await.unwrap();
        snapshot(&mut changes).await;
        store.commit(put("a", None), 0).await.unwrap();
        store.flush(Arc::new(Beats::new()), 3).await.unwrap();
        assert_eq!(store.commit(put("b", None), 0).await.unwrap(), 5, "{store:?}");
        assert_eq!(revisions(&mut changes, 3).await, [1, 4, 5]);
        store.flush(Arc::new(Beats::new()), 2).await.unwrap();
    }
    let store = open(directory.path()).await.unwrap();
    assert_eq!(snapshot(&mut store.changes().await.unwrap()).await.revision, 7);
}

#[tokio::test]
async fn the_file_engine_knows_everything_again_after_it_was_closed() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let store = open(directory.path()).await.unwrap();
        store.commit(put("a", None), 0).await.unwrap();
        store.commit(put("b", None), 0).await.unwrap();
        store.commit(Change::Remove("b".into()), 2).await.unwrap();
        snapshot(&mut store.changes().await.unwrap()).await
    };
    let store = open(directory.path()).await.unwrap();
    let after = snapshot(&mut store.changes().await.unwrap()).await;
    assert_eq!((after.revision, after.agents), (3, before.agents));
    assert_eq!(store.commit(put("c", None), 0).await.unwrap(), 4, "a revision is never used twice");
}

#[tokio::test]
async fn a_directory_that_is_in_use_is_refused_until_it_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).await.unwrap();
    let fault = open(directory.path()).await.unwrap_err().to_string();
    assert!(fault.contains(directory.path().to_str().unwrap()) && fault.contains("in use"), "{fault}");
    drop(first);
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn a_row_that_is_no_registration_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await.unwrap();
    store.commit(put("odd-one", None), 0).await.unwrap();
    drop(store);
    let database = rusqlite::Connection::open(directory.path().join("registry.db")).unwrap();
    database.execute("UPDATE agents SET registration = '{\"id\": 7}'", []).unwrap();
    drop(database);
    let config = Config { store: StoreUrl::File(directory.path().to_owned()), ..Config::default() };
    let fault = anyhow::Error::from(Rooms::open(&config).await.unwrap_err());
    let (fault, path) = (format!("{fault:#}"), directory.path().to_str().unwrap());
    assert!(fault.contains("odd-one") && fault.contains(path), "{fault}");
}
