//! Clients that want to be told when a list changes, at a server that tells everybody or nobody.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::said::List;
use crate::front::changes;
use crate::front::reply::Refusal;

/// A client that listens.
#[derive(Debug, Clone)]
pub struct Listening {
    /// The request with which a client of the current revision listens; one of an older revision opens a stream.
    request: Option<Box<RawValue>>,
    wanted: Wanted,
}

/// Changes of which lists a client wants to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default, skip_serializing_if = "is_false")]
    tools_list_changed: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    prompts_list_changed: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    resources_list_changed: bool,
}

#[derive(Serialize)]
struct Message<'m> {
    jsonrpc: &'static str,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<About<'m>>,
}

#[derive(Serialize)]
struct About<'m> {
    _meta: Subscription<'m>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notifications: Option<Wanted>,
}

#[derive(Serialize)]
struct Subscription<'m> {
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    id: &'m RawValue,
}

// === impl Listening ===

impl Listening {
    /// A client of an older revision, which is told of everything.
    pub(super) fn older() -> Self {
        let wanted =
            Wanted { tools_list_changed: true, prompts_list_changed: true, resources_list_changed: true };
        Self { request: None, wanted }
    }

    /// A client of the current revision that asks with the request `id` and these parameters.
    pub(super) fn current(id: &RawValue, params: Option<&RawValue>) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Params {
            notifications: Option<Wanted>,
        }
        let params = params.map(|params| serde_json::from_str::<Params>(params.get())).transpose();
        let params =
            params.map_err(|fault| Refusal::params(format!("'notifications' cannot be read: {fault}")))?;
        let wanted = params.and_then(|params| params.notifications);
        let wanted = wanted.ok_or_else(|| {
            Refusal::params("'notifications' must be an object that names what to listen to")
        })?;
        Ok(Self { request: Some(id.to_owned()), wanted })
    }

    /// Says what the client will be told of; one of an older revision is told nothing to begin with.
    pub fn opening(&self) -> Option<Bytes> {
        let id = self.request.as_deref()?;
        let about = About { _meta: Subscription { id }, notifications: Some(self.wanted) };
        Some(message("notifications/subscriptions/acknowledged", Some(about)))
    }

    /// Says that `list` has changed; `None` to a client that does not want to know.
    pub fn notice(&self, list: List) -> Option<Bytes> {
        let (is_wanted, method) = match list {
            List::Tools => (self.wanted.tools_list_changed, "notifications/tools/list_changed"),
            List::Prompts => (self.wanted.prompts_list_changed, "notifications/prompts/list_changed"),
            List::Resources => (self.wanted.resources_list_changed, "notifications/resources/list_changed"),
        };
        let about =
            self.request.as_deref().map(|id| About { _meta: Subscription { id }, notifications: None });
        is_wanted.then(|| message(method, about))
    }

    /// The answer to the request when there is nothing more to tell; a stream of an older revision just ends.
    pub fn end(&self) -> Option<Bytes> {
        self.request.as_deref().map(|id| changes::end(id).into())
    }
}

/// Serialising strings and raw JSON into memory has no way to fail.
fn message(method: &'static str, params: Option<About<'_>>) -> Bytes {
    serde_json::to_vec(&Message { jsonrpc: "2.0", method, params }).unwrap_or_default().into()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_told_what_it_asked_for_in_its_own_way() {
        let id: Box<RawValue> = serde_json::from_str("\"l\"").unwrap();
        let params = serde_json::from_str(r#"{"notifications":{"toolsListChanged":true,"x":1}}"#).unwrap();
        let current = Listening::current(&id, Some(params)).unwrap();
        let opening = String::from_utf8(current.opening().unwrap().to_vec()).unwrap();
        assert!(
            opening.contains("acknowledged")
                && opening.contains(r#""notifications":{"toolsListChanged":true}"#)
        );
        let notice = String::from_utf8(current.notice(List::Tools).unwrap().to_vec()).unwrap();
        assert!(notice.contains(r#""io.modelcontextprotocol/subscriptionId":"l""#), "{notice}");
        assert_eq!(current.notice(List::Prompts), None);
        let older = Listening::older();
        assert_eq!((older.opening(), older.end()), (None, None));
        assert_eq!(
            older.notice(List::Prompts).unwrap(),
            r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#
        );
        assert!(Listening::current(&id, None).is_err());
    }
}
