//! When a registry opens a store that another one uses, or that is damaged.

use std::fs;

use super::directory::{Directory, document};

/// Agents of a store that is then damaged: enough for many pages.
const AGENTS: usize = 40;
/// Pages of the store, in bytes.
const PAGE: usize = 4_096;
/// The head of a SQLite file, in bytes.
const HEAD: usize = 100;

#[tokio::test]
async fn a_second_process_on_the_same_directory_names_it_and_ends() {
    let directory = Directory::new();
    let first = directory.open().await;
    directory.refused(directory.path()).await;
    assert!(first.is_well().await);
    assert_eq!(first.post("/agents", &document("a", "")).await.status, 200);
}

#[tokio::test]
async fn a_database_with_overwritten_pages_is_named_and_left_as_it_is() {
    refused_after(|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 2 * PAGE].fill(0xa5);
    })
    .await;
}

#[tokio::test]
async fn a_database_that_was_cut_off_is_named_and_left_as_it_is() {
    refused_after(|bytes| bytes.truncate(bytes.len() / 2)).await;
}

#[tokio::test]
async fn a_database_without_its_head_is_named_and_left_as_it_is() {
    refused_after(|bytes| bytes[..HEAD].fill(0)).await;
}

async fn refused_after(damage: impl FnOnce(&mut Vec<u8>)) {
    let directory = filled().await;
    let mut bytes = fs::read(directory.database()).expect("the store can be read");
    assert!(bytes.len() > 4 * PAGE, "{} bytes are no store of {AGENTS} agents", bytes.len());
    damage(&mut bytes);
    fs::write(directory.database(), &bytes).expect("the store can be damaged");
    directory.refused(&directory.database()).await;
    assert!(fs::read(directory.database()).is_ok_and(|left| left == bytes), "the damaged file was changed");
}

/// A store with some agents, left in good order.
async fn filled() -> Directory {
    let directory = Directory::new();
    let mut registry = directory.open().await;
    for agent in 0..AGENTS {
        assert_eq!(registry.post("/agents", &document(&format!("agent-{agent}"), "")).await.status, 200);
    }
    registry.program.terminate().await;
    assert!(registry.program.ended().await.success());
    directory
}
