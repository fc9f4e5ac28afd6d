//! Watches: changes as server-sent events, for as long as the client listens.
//!
//! `ADDED`, `MODIFIED` and `DELETED` carry the agent; their ids are resource versions, from which a client resumes. A
//! `BOOKMARK` says up to where a quiet client has missed nothing. The agents that a watch may begin with have no id, as
//! whoever has got only some of them must begin anew: the bookmark behind them is the first that can be resumed from.
//! `ERROR` comes before the end when a client has missed something: it was too slow.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;
use std::vec::IntoIter;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName};
use axum::http::{HeaderValue, Response};
use futures_util::stream;
use mesh_api::error::Fault;
use mesh_api::query::Watch;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::state::Api;
use crate::catalog::event;
use crate::catalog::hit::Hit;
use crate::catalog::watcher::{Filter, Watcher};
use crate::error::RegistryError;

/// Silence after which something is sent, so that nobody on the way takes the connection for dead: proxies and clients
/// drop streams that are silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// From how many bytes on the list that a watch may begin with is sent piece by piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Where an event stream was cut, says a client that resumes.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A watch that is being sent.
struct Sending {
    listed: IntoIter<Hit>,
    watcher: Watcher,
    /// The revision up to which the client knows that it has missed nothing.
    bookmark: Option<u64>,
    silent_at: Instant,
    is_over: bool,
    stop: CancellationToken,
    _counted: Counted,
}

/// Counts the watch for as long as it is open.
struct Counted(Gauge);

/// Opens a watch of what `filter` sees.
pub(super) async fn open(
    api: &Api,
    filter: Filter,
    watch: Watch,
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let from = last_event(headers)?.or(watch.resource_version);
    let watching = &api.registry.metrics().watchers;
    if usize::try_from(watching.get()).is_ok_and(|watching| watching >= api.max_watchers) {
        return Err(ApiError::TooManyWatches(api.max_watchers));
    }
    // Counted before the list is made: many may come at once.
    let counted = Counted::new(watching);
    let (listed, watcher) = api.registry.watch(filter, from).await?;
    let sending = Sending {
        listed: listed.into_iter(),
        watcher,
        bookmark: from,
        silent_at: Instant::now() + KEEP_ALIVE,
        is_over: false,
        stop: api.watches.clone(),
        _counted: counted,
    };
    let frames = stream::unfold(sending, |mut sending| async move {
        let frame = sending.next().await?;
        Some((Ok::<_, Infallible>(frame), sending))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Asks proxies of the nginx family to pass on every event at once.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) else { return Ok(None) };
    let revision = id.to_str().ok().and_then(|id| id.parse().ok());
    let fault = || Fault::new("Last-Event-ID", "must be the id of an event, a resource version");
    revision.map(Some).ok_or_else(|| RegistryError::InvalidQuery(vec![fault()]).into())
}

// === impl Counted ===

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// === impl Sending ===

impl Sending {
    /// What is sent next; `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        let frame = match self.list() {
            Some(listed) => listed,
            None => self.follow().await?,
        };
        self.silent_at = Instant::now() + KEEP_ALIVE;
        Some(Bytes::from(frame))
    }

    /// The next agents of the list to begin with, and behind them a bookmark.
    fn list(&mut self) -> Option<String> {
        let mut frames = String::new();
        while frames.len() < PIECE_BYTES
            && let Some(Hit { record, status, .. }) = self.listed.next()
        {
            frames.push_str(&event::listed(&record, status));
        }
        if frames.is_empty() {
            // The memory of the list goes before the watch does, which may be days later.
            self.listed = IntoIter::default();
        }
        if frames.is_empty() && self.bookmark.is_none() {
            frames = self.bookmark();
        }
        (!frames.is_empty()).then_some(frames)
    }

    async fn follow(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                changes = self.watcher.next() => match changes {
                    // What is not this watch's business took time all the same.
                    Ok(frames) if frames.is_empty() => tokio::task::yield_now().await,
                    Ok(frames) => {
                        self.bookmark = Some(self.watcher.revision());
                        return Some(frames.concat());
                    }
                    Err(gone) => {
                        self.is_over = true;
                        let (_, body) = ApiError::from(RegistryError::WatchTooOld { kept_from: gone.kept_from }).answer();
                        let body = serde_json::to_string(&body).unwrap_or_default();
                        return Some(format!("event: ERROR\ndata: {{\"type\":\"ERROR\",\"object\":{body}}}\n\n"));
                    }
                },
                () = sleep_until(self.silent_at) => return Some(self.sign_of_life()),
            }
        }
    }

    fn sign_of_life(&mut self) -> String {
        if self.bookmark == Some(self.watcher.revision()) { ":\n\n".to_owned() } else { self.bookmark() }
    }

    fn bookmark(&mut self) -> String {
        let revision = self.watcher.revision();
        self.bookmark = Some(revision);
        let mut frame = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            frame,
            "event: BOOKMARK\nid: {revision}\ndata: {{\"type\":\"BOOKMARK\",\"resource_version\":{revision}}}\n\n"
        );
        frame
    }
}
