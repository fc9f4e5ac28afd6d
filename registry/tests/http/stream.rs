//! An open watch as its client sees it: server-sent events, one after the other.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::TestRegistry;

/// An open watch and the events that have come in pieces.
pub(crate) struct Watch {
    pub(crate) body: BodyDataStream,
    rest: String,
}

/// A server-sent event: its name, its id, and its data.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) verb: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

impl Watch {
    pub(crate) async fn open(registry: &TestRegistry, target: &str) -> Self {
        Self::resume(registry, target, None).await
    }

    pub(crate) async fn resume(registry: &TestRegistry, target: &str, last_event: Option<&str>) -> Self {
        let request = Request::get(target).header("last-event-id", last_event.unwrap_or_default());
        let response = registry.stream(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200, "{target}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), rest: String::new() }
    }

    /// The next event; comments are passed over. `None` at the end.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                if event != ":" {
                    return Some(Event::read(&event));
                }
                continue;
            }
            let piece =
                timeout(Duration::from_secs(3_600), self.body.next()).await.expect("an event in time")?;
            self.rest.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    /// The verb and the agent of the next event.
    pub(crate) async fn next(&mut self) -> String {
        let event = self.event().await.expect("another event");
        assert_eq!(event.data["type"], json!(event.verb));
        assert_eq!(event.data["resource_version"].as_u64(), event.id);
        match event.data["object"]["id"].as_str() {
            Some(id) => format!("{} {id} {}", event.verb, event.data["object"]["status"].as_str().unwrap()),
            None => event.verb,
        }
    }
}

impl Event {
    fn read(text: &str) -> Self {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Self {
            verb: field("event").expect("a name").to_owned(),
            id: field("id").map(|id| id.parse().expect("a resource version")),
            data: serde_json::from_str(field("data").expect("data")).expect("JSON"),
        }
    }
}
