//! How long it takes until what one registry was told is found through every other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Uri;
use mesh_examples::loadgen::fill::AGENTS;
use mesh_examples::loadgen::tally::{Outcome, Tally};
use mesh_examples::loadgen::wire::Connection;
use serde_json::{Value, json};

use crate::stage::Stage;

/// Pause between two registrations.
const PAUSE: Duration = Duration::from_millis(20);

/// What was measured.
pub(crate) struct Spread {
    /// From sending a registration to its answer.
    pub(crate) registered: Outcome,
    /// From sending a registration until the last of the other registries finds it.
    pub(crate) found: Outcome,
}

/// Registers agents for `time`, with each registry in turn, and looks for each with all others.
pub(crate) async fn measure(stage: &Stage, time: Duration) -> anyhow::Result<Spread> {
    let mut connections =
        stage.replicas.iter().map(|replica| Connection::to(&replica.base)).collect::<Vec<_>>();
    let (mut registered, mut found) = (Tally::default(), Tally::default());
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < time {
        let writer = number % connections.len();
        let id = format!("spread-{number}");
        let document =
            json!({"id": id, "endpoint": "http://127.0.0.1:9/", "capabilities": [{"name": "spread"}]});
        let sent = Instant::now();
        let answer = connections[writer].post(&Uri::from_static(AGENTS), document.to_string().into()).await?;
        registered.answered(sent.elapsed(), answer.body.len());
        let version = serde_json::from_slice::<Value>(&answer.body)?["resource_version"].as_u64();
        // It is answered once the registry has come so far: no look is too early, and none too late.
        let version = version.context("a registration has a version")?;
        let look = format!("{AGENTS}?id={id}&min_resource_version={version}").parse::<Uri>()?;
        for (reader, connection) in connections.iter_mut().enumerate() {
            if reader != writer {
                let answer = serde_json::from_slice::<Value>(&connection.fetch(&look).await?.body)?;
                ensure!(answer["count"] == 1, "{id} is not found at {version}: {answer}");
            }
        }
        found.answered(sent.elapsed(), 0);
        number += 1;
        tokio::time::sleep(PAUSE).await;
    }
    let elapsed = began.elapsed();
    Ok(Spread { registered: registered.conclude(elapsed), found: found.conclude(elapsed) })
}
