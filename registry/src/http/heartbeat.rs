//! Heartbeats: one, or a batch that is answered item by item.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mesh_api::error::{ErrorBody, Fault};
use mesh_api::heartbeat::HeartbeatAnswer;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::error::ApiError;
use super::extract::Document;
use super::state::Api;
use crate::error::RegistryError;

/// Most heartbeats of one batch: each is answered by itself, all answers are in memory at once, and the answer to an
/// item that is not even a heartbeat is a hundred times as long as the item.
pub(super) const MAX_BATCH: usize = 1_000;
/// Heartbeats that are taken before others get their turn: about a millisecond of a debug build.
const AT_ONCE: usize = 100;

/// The answer to one heartbeat of a batch, at the place it had in the batch.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HeartbeatItem")]
pub(super) struct Item {
    /// The status that the heartbeat would have been answered with by itself.
    status_code: u16,
    /// The agent that it names, if it names one.
    agent_id: Option<String>,
    #[serde(flatten)]
    answer: ItemAnswer,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum ItemAnswer {
    Heard(HeartbeatAnswer),
    Failed(ErrorBody),
}

/// `POST /heartbeat`
pub(super) async fn take(State(api): State<Api>, Document(body): Document) -> Result<Response, ApiError> {
    match body {
        Value::Array(batch) => {
            check_length(&batch)?;
            api.registry.expect(&batch).await;
            let mut items = Vec::with_capacity(batch.len());
            for some in batch.chunks(AT_ONCE) {
                items.extend(some.iter().map(|document| item(&api, document)));
                tokio::task::yield_now().await;
            }
            Ok(Json(items).into_response())
        }
        one => {
            api.registry.expect(std::slice::from_ref(&one)).await;
            Ok(Json(api.registry.heartbeat(&one)?).into_response())
        }
    }
}

fn check_length(batch: &[Value]) -> Result<(), RegistryError> {
    let fault =
        |length| Fault::new("", format!("a batch must have at most {MAX_BATCH} heartbeats, got {length}"));
    match batch.len() {
        0..=MAX_BATCH => Ok(()),
        length => Err(RegistryError::InvalidDocument(vec![fault(length)])),
    }
}

fn item(api: &Api, document: &Value) -> Item {
    let agent_id = document.get("agent_id").and_then(Value::as_str).map(str::to_owned);
    let (status, answer) = match api.registry.heartbeat(document) {
        Ok(answer) => (StatusCode::OK, ItemAnswer::Heard(answer)),
        Err(fault) => {
            let (status, body) = ApiError::from(fault).answer();
            (status, ItemAnswer::Failed(body))
        }
    };
    Item { status_code: status.as_u16(), agent_id, answer }
}
