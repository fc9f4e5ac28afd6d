//! A directory with a store in it, and what a registry over it knows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mesh_tests::program::Program;
use mesh_tests::registry::{BINARY, TestRegistry};
use mesh_tests::wait::until;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where a registry keeps its store during one test.
pub(super) struct Directory {
    folder: TempDir,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file in which the store is.
    pub(super) fn database(&self) -> PathBuf {
        self.path().join("registry.db")
    }

    /// The store as the registry is told of it.
    pub(super) fn url(&self) -> String {
        format!("file:{}", self.path().display())
    }

    /// A registry over it.
    pub(super) async fn open(&self) -> TestRegistry {
        TestRegistry::start("127.0.0.1:0", &self.url(), &[]).await
    }

    /// A registry that is expected to refuse it: ends with a failure and says that `path` is why.
    pub(super) async fn refused(&self, path: &Path) {
        let mut program = Program::start(BINARY, &["--listen", "127.0.0.1:0", "--store", &self.url()], &[]);
        assert_eq!(program.ended().await.code(), Some(1), "{}", program.printed());
        let path = path.display().to_string();
        // Output may arrive a moment after the end.
        until("it says which path is at fault", async || program.printed().contains(&path).then_some(()))
            .await;
    }
}

/// An agent with so much configuration that a few dozen of them fill many pages of the store.
pub(super) fn document(id: &str, step: &str) -> Value {
    let config = json!({"ballast": "x".repeat(2_000)});
    json!({"id": id, "endpoint": "http://h:1/", "labels": {"step": step}, "config": config})
}

/// Every agent with its version, and the version of the whole.
pub(super) async fn catalog(registry: &TestRegistry) -> (HashMap<String, u64>, u64) {
    let page = registry.get("/agents?limit=10000").await.json();
    let rows = page["agents"].as_array().expect("a page of agents");
    let version = |row: &Value| row["resource_version"].as_u64().expect("a version");
    let agents = rows.iter().map(|row| (row["id"].as_str().unwrap_or_default().to_owned(), version(row)));
    (agents.collect(), version(&page))
}
