//! A registry without a port, and an engine that fails on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use futures_util::future::{BoxFuture, FutureExt as _, pending, ready};
use http_body_util::BodyExt as _;
use mesh_registry::config::Config;
use mesh_registry::server::Rooms;
use mesh_registry::store::Store;
use mesh_registry::store::change::{Beats, Change};
use mesh_registry::store::engine::Engine;
use mesh_registry::store::error::{CommitError, OpenError};
use mesh_registry::store::follower::Changes;
use mesh_registry::store::memory::Memory;
use mesh_registry::store::url::StoreUrl;
use mesh_registry::sweeper::Sweeper;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A registry without a port. Its sweeper ticks when it is told to.
pub(crate) struct TestRegistry {
    router: Router,
    sweeper: Sweeper,
    feed: JoinHandle<()>,
    watches: CancellationToken,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl TestRegistry {
    /// Starts with an empty store in memory.
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::of(Rooms::open(&config).await.unwrap())
    }

    /// Starts again over a directory that the registry before is about to leave: waits for its lock.
    pub(crate) async fn restarted(config: Config) -> Self {
        let StoreUrl::File(directory) = &config.store else { panic!("{} is no directory", config.store) };
        let lock = std::fs::File::open(directory.join("registry.lock")).unwrap();
        let (free, freed) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let locked = lock.lock();
            drop(lock);
            free.send(locked)
        });
        freed.await.unwrap().unwrap();
        Self::with(config).await
    }

    /// Starts over an engine of the test's own; writes may take a tenth of a second.
    pub(crate) async fn over(engine: Arc<dyn Engine>) -> Self {
        let store = Store::over(engine, Duration::from_millis(100));
        Self::of(Rooms::over(store, &Config::default()).await.unwrap())
    }

    fn of(rooms: Rooms) -> Self {
        let feed = rooms.feed;
        let feed = tokio::spawn(async move { _ = feed.run().await });
        Self { router: rooms.router, sweeper: rooms.sweeper, feed, watches: rooms.watches }
    }

    /// Sends a request as it stands and leaves the body where it is.
    pub(crate) async fn stream(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Ends all watches, as a registry does that is told to stop.
    pub(crate) fn end_watches(&self) {
        self.watches.cancel();
    }

    /// Sends a request as it stands.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.stream(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.send(Request::delete(target).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        let request = Request::post(target).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Registers an agent with the keys of `extra` beside its id and endpoint.
    pub(crate) async fn register(&self, id: &str, extra: Value) -> Value {
        let mut document = json!({"id": id, "endpoint": "http://h:1/mcp"});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.post("/agents", &document).await.ok()
    }

    pub(crate) async fn beat(&self, id: &str) {
        self.post("/heartbeat", &json!({"agent_id": id})).await.ok();
    }

    /// Lets time pass and sweeps every second of it. For tests under a paused clock.
    pub(crate) async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            self.sweep().await;
        }
    }

    pub(crate) async fn sweep(&mut self) {
        self.sweeper.tick(Instant::now()).await;
    }

    pub(crate) async fn status_of(&self, id: &str) -> String {
        self.get(&format!("/agents/{id}")).await.ok()["status"].as_str().unwrap().to_owned()
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{fault}: {}", self.text))
    }

    /// The body of an answer that must be a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The values of `key` in the rows of a page.
    pub(crate) fn column(&self, key: &str) -> Vec<String> {
        let page = self.ok();
        let rows = page.get("agents").or(page.get("capabilities")).unwrap().as_array().unwrap();
        rows.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
    }

    /// Checks that it is an error of the common shape, and returns its message.
    pub(crate) fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert_eq!((&body["status"], &body["code"]), (&json!("error"), &json!(code)), "{body}");
        assert_eq!(body["error"], body["detail"]);
        body["error"].as_str().unwrap().to_owned()
    }
}

/// A memory engine whose writes can be made to fail.
#[derive(Debug, Default)]
pub(crate) struct Fragile {
    inner: Memory,
    mood: AtomicU8,
}

/// What a [`Fragile`] engine does to writes.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Mood {
    Well,
    Full,
    Failing,
    Hanging,
}

impl Fragile {
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn wrong<T: Send + 'static>(&self) -> Option<BoxFuture<'_, Result<T, CommitError>>> {
        let source = || Arc::new(std::io::Error::other("made to fail"));
        match self.mood.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(ready(Err(CommitError::Full(source()))).boxed()),
            2 => Some(ready(Err(CommitError::Failed(source()))).boxed()),
            _ => Some(pending().boxed()),
        }
    }
}

impl Engine for Fragile {
    fn changes(&self) -> BoxFuture<'_, Result<Changes, OpenError>> {
        self.inner.changes()
    }

    fn commit(&self, change: Change, expected: u64) -> BoxFuture<'_, Result<u64, CommitError>> {
        self.wrong().unwrap_or_else(|| self.inner.commit(change, expected))
    }

    fn flush(&self, beats: Arc<Beats>, noticed: u64) -> BoxFuture<'_, Result<u64, CommitError>> {
        self.wrong().unwrap_or_else(|| self.inner.flush(beats, noticed))
    }
}
