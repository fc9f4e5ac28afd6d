//! The messages that tell a client of changes of the list.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::tools::Changes;
use crate::message::TOOLS_CHANGED;

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

#[derive(Serialize)]
struct Notification<P> {
    jsonrpc: &'static str,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
}

/// Names the request that a message belongs to.
#[derive(Serialize)]
struct Subscribed<'m> {
    _meta: Subscription<'m>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notifications: Option<Notifications>,
}

#[derive(Serialize)]
struct Subscription<'m> {
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    id: &'m RawValue,
}

/// What a client is told of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notifications {
    #[serde(skip_serializing_if = "Option::is_none")]
    tools_list_changed: Option<bool>,
}

#[derive(Serialize)]
struct Success<'m> {
    jsonrpc: &'static str,
    id: &'m RawValue,
    result: Ended<'m>,
}

#[derive(Serialize)]
struct Ended<'m> {
    #[serde(rename = "resultType")]
    kind: &'static str,
    _meta: Subscription<'m>,
}

/// What a client of an older revision is told on the stream that it opened.
pub(super) fn for_older() -> Changes {
    Changes { opening: None, notice: Some(notification::<()>(TOOLS_CHANGED, None)) }
}

/// What a client that listens with the request `id` is told.
pub(super) fn for_current(id: &RawValue, wants_list_changes: bool) -> Changes {
    let about = |notifications| Some(Subscribed { _meta: Subscription { id }, notifications });
    let tools_list_changed = wants_list_changes.then_some(true);
    let opening = notification(ACKNOWLEDGED, about(Some(Notifications { tools_list_changed })));
    let notice = wants_list_changes.then(|| notification(TOOLS_CHANGED, about(None)));
    Changes { opening: Some(opening), notice }
}

/// The answer to the request `id` when there is nothing more to tell.
pub(super) fn end(id: &RawValue) -> Vec<u8> {
    let result = Ended { kind: "complete", _meta: Subscription { id } };
    json(&Success { jsonrpc: "2.0", id, result })
}

fn notification<P: Serialize>(method: &'static str, params: Option<P>) -> Bytes {
    json(&Notification { jsonrpc: "2.0", method, params }).into()
}

/// Serialising strings and raw JSON into memory has no way to fail.
fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}
