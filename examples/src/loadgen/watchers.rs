//! Those who watch: many idle streams, what they cost, and how fast a change reaches all of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use form_urlencoded::Serializer;
use http::{StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::event::Parser;
use super::fill::AGENTS;
use super::fleet::Fleet;
use super::process::Process;
use super::tally::{Outcome, Tally};
use super::wire::{Base, Connection, read};

/// Watches that are opened at the same time: more would overrun the queue of connections not yet accepted.
const OPENING: usize = 100;
/// Time for a change to reach everybody.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time in which what was begun comes to its end: buffers that were only needed for opening, changes of health.
const AT_REST: Duration = Duration::from_secs(2);
/// How often a registry is asked whether it has come to rest.
const RESTS: usize = 15;

/// Who watches what.
#[derive(Debug, Clone)]
pub struct Watching {
    /// Where the registry is.
    pub base: Base,
    /// How many watch.
    pub watchers: usize,
    /// The labels of the agents that they watch.
    pub selector: String,
    /// The fleet that is there; the change is to its agent 0, whose labels the selector must match.
    pub fleet: Fleet,
    /// The registry's process, if it is on this machine.
    pub process: Option<Process>,
}

/// What watching costs.
#[derive(Debug)]
pub struct Watched {
    /// Resident memory before and while all watch, in bytes, if the process is known.
    pub resident: Option<(u64, u64)>,
    /// Time until all streams were open.
    pub opening: Duration,
    /// Time from the change until each watcher had it.
    pub delay: Outcome,
}

impl Watching {
    /// Opens the streams, rests, causes a change, and waits until everybody has it.
    ///
    /// # Errors
    /// When a stream is refused, or breaks off, or does not bring the change in time.
    pub async fn measure(&self) -> anyhow::Result<Watched> {
        let target = self.target().await?;
        let before = self.resident()?;
        let began = Instant::now();
        let (seen, mut sightings) = mpsc::unbounded_channel();
        // Marks the change among others that happen to the agent, such as those of its health.
        let build = u64::from(std::process::id());
        let mut watchers = self.open(&target, build, &seen).await?;
        let opening = began.elapsed();
        tokio::time::sleep(AT_REST).await;
        let resident = before.zip(self.resident()?);
        let document = self.fleet.document_of_build(0, build);
        let changed = Instant::now();
        Connection::to(&self.base).post(&Uri::from_static(AGENTS), document.to_string().into()).await?;
        let mut tally = Tally::default();
        for number in 0..self.watchers {
            let sighting = timeout(PATIENCE, sightings.recv()).await;
            match sighting {
                Ok(Some(at)) => tally.answered(Instant::saturating_duration_since(&at, changed), 0),
                _ => bail!("only {number} of {} watchers have seen the change", self.watchers),
            }
        }
        let delay = tally.conclude(changed.elapsed());
        watchers.shutdown().await;
        Ok(Watched { resident, opening, delay })
    }

    /// What is watched, from now on: what is there already would be sent to each of them.
    async fn target(&self) -> anyhow::Result<Uri> {
        let revision = self.revision_at_rest().await?;
        let mut query = Serializer::new(String::new());
        query.append_pair("watch", "true").append_pair("resource_version", &revision.to_string());
        query.append_pair("label_selector", &self.selector);
        Ok(format!("/agents?{}", query.finish()).parse()?)
    }

    /// The revision at which nothing happens any more: agents just heard are healthy a moment later, and who watches
    /// from before that is no idle watcher.
    async fn revision_at_rest(&self) -> anyhow::Result<u64> {
        let mut connection = Connection::to(&self.base);
        let mut last = None;
        for _ in 0..RESTS {
            let now = connection.fetch(&Uri::from_static("/agents?limit=1")).await?;
            let now: Value = serde_json::from_slice(&now.body)?;
            let revision =
                now["resource_version"].as_u64().context("an answer says which revision it shows")?;
            if last.replace(revision) == Some(revision) {
                return Ok(revision);
            }
            tokio::time::sleep(AT_REST).await;
        }
        bail!("the registry does not come to rest: something still happens to its agents")
    }

    /// Opens all streams. Each watcher tells `seen` when it sees the change.
    async fn open(
        &self,
        target: &Uri,
        build: u64,
        seen: &mpsc::UnboundedSender<Instant>,
    ) -> anyhow::Result<JoinSet<()>> {
        let (mut opening, mut watchers) = (JoinSet::new(), JoinSet::new());
        let id = self.fleet.id(0);
        for number in 0..self.watchers {
            opening.spawn(watch(self.base.clone(), target.clone()));
            let most = if number + 1 < self.watchers { OPENING - 1 } else { 0 };
            while opening.len() > most {
                let stream = opening.join_next().await.context("one is being opened")??;
                watchers.spawn(look(stream?, id.clone(), build, seen.clone()));
            }
        }
        Ok(watchers)
    }

    fn resident(&self) -> anyhow::Result<Option<u64>> {
        self.process.map(Process::resident).transpose()
    }
}

/// Opens a stream; the connection is kept by its body.
async fn watch(base: Base, target: Uri) -> anyhow::Result<(Connection, Incoming)> {
    let mut connection = Connection::to(&base);
    let response = connection.get(&target, None).await?;
    if response.status() != StatusCode::OK {
        read(response).await?.good(&target)?;
        bail!("a watch is refused");
    }
    let content_type = response.headers().get(http::header::CONTENT_TYPE);
    let is_stream = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    ensure!(is_stream, "a watch is answered with {content_type:?}, not with an event stream");
    Ok((connection, response.into_body()))
}

/// Follows a stream to its end, or until agent `id` has come in this build.
async fn look(stream: (Connection, Incoming), id: String, build: u64, seen: mpsc::UnboundedSender<Instant>) {
    let (_connection, mut body) = stream;
    let mut parser = Parser::default();
    while let Some(Ok(frame)) = body.frame().await {
        let events = frame.data_ref().map(|bytes| parser.take(bytes)).unwrap_or_default();
        let mut changes = events.iter().filter(|event| event.event == "ADDED" || event.event == "MODIFIED");
        if changes.any(|event| is_about(&event.data, &id, build)) {
            // Whoever waited has gone; so may this one.
            let _ = seen.send(Instant::now());
            return;
        }
    }
}

/// Whether the object of a change is agent `id` in this build.
fn is_about(data: &str, id: &str, build: u64) -> bool {
    let is_it = |data: Value| data["object"]["id"] == id && data["object"]["metadata"]["build"] == build;
    serde_json::from_str(data).is_ok_and(is_it)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::RawQuery;
    use axum::http::header::CONTENT_TYPE;
    use axum::response::{IntoResponse as _, Response};
    use axum::routing::get;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::sync::broadcast;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const FLEET: Fleet = Fleet { agents: 3, capabilities: 1, seed: 1, distinct: false };

    /// A registry that knows how to watch, and nothing else: it tells everybody of everything that registers.
    async fn fake(watchable: bool) -> (Base, CancellationToken) {
        let changes = broadcast::Sender::<Bytes>::new(16);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Base::from(listener.local_addr().unwrap());
        let told = changes.clone();
        let register = move |body: String| async move {
            let agent: Value = serde_json::from_str(&body).unwrap();
            let event = json!({"type": "MODIFIED", "object": agent, "resource_version": 8});
            let _ = told.send(format!("event: MODIFIED\nid: 8\ndata: {event}\n\n").into());
            "{}"
        };
        let find = move |RawQuery(query): RawQuery| async move {
            let query = query.unwrap_or_default();
            if !query.contains("watch=true") || !watchable {
                return json!({"agents": [], "resource_version": 7}).to_string().into_response();
            }
            assert!(query.contains("resource_version=7") && query.contains("label_selector=team"), "{query}");
            stream(changes.subscribe())
        };
        let router = Router::new().route(AGENTS, get(find).post(register));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! { () = stopped => {}, _ = axum::serve(listener, router) => {} }
        });
        (base, stop)
    }

    /// What is not about the fleet comes first, cut in the middle.
    fn stream(mut changes: broadcast::Receiver<Bytes>) -> Response {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for first in [&b": hello\n\nevent: BOOK"[..], b"MARK\nid: 7\ndata: {}\n\n"] {
                let _ = sender.send(Bytes::from_static(first));
            }
            while let Ok(change) = changes.recv().await {
                let _ = sender.send(change);
            }
        });
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(Frame::data(bytes)), receiver))
        });
        ([(CONTENT_TYPE, "text/event-stream")], Body::new(StreamBody::new(frames))).into_response()
    }

    fn watching(base: Base) -> Watching {
        let process = Some(Process(std::process::id()));
        Watching { base, watchers: 150, selector: "team".to_owned(), fleet: FLEET, process }
    }

    #[tokio::test]
    async fn everybody_is_waited_for() {
        let (base, stop) = fake(true).await;
        let watched = watching(base).measure().await.unwrap();
        assert_eq!((watched.delay.answered, watched.delay.errors), (150, 0));
        assert!(watched.delay.percentile(100.0) <= watched.delay.elapsed && watched.resident.is_some());
        stop.cancel();
    }

    #[tokio::test]
    async fn a_registry_that_does_not_watch_is_told_from_one_that_is_silent() {
        let (base, stop) = fake(false).await;
        let fault = watching(base).measure().await.unwrap_err();
        assert!(fault.to_string().contains("not with an event stream"), "{fault}");
        stop.cancel();
    }
}
