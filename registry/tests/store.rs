//! What only the file engine can do; what every engine promises is tested with the mesh as a whole.

#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::agent::Registration;
use mesh_registry::config::Config;
use mesh_registry::server::Rooms;
use mesh_registry::store::Store;
use mesh_registry::store::change::{Change, Draft, Event, Snapshot};
use mesh_registry::store::error::OpenError;
use mesh_registry::store::follower::Changes;
use mesh_registry::store::url::StoreUrl;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

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
