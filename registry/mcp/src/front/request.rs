//! What a client sent: reads the envelope, and of the parameters what a server of tools looks at.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::reply::Refusal;

/// How a client of an older revision says that it does not wait any more.
const CANCELLED: &str = "notifications/cancelled";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled<'b> {
    #[serde(borrow)]
    request_id: &'b RawValue,
}

/// A message of a client.
#[derive(Debug)]
pub(super) enum Message<'b> {
    /// Wants an answer.
    Request(Request<'b>),
    /// Wants no answer any more to the request of this id.
    Cancelled(&'b RawValue),
    /// Wants none: a notification, or the answer to a request that we never sent.
    Other,
}

/// A message that wants an answer.
#[derive(Debug)]
pub(super) struct Request<'b> {
    pub(super) id: &'b RawValue,
    pub(super) method: Cow<'b, str>,
    params: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct Envelope<'b> {
    jsonrpc: Cow<'b, str>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    id: Option<&'b RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'b, str>>,
    #[serde(borrow)]
    params: Option<&'b RawValue>,
    #[serde(borrow)]
    result: Option<&'b RawValue>,
    #[serde(borrow)]
    error: Option<&'b RawValue>,
}

/// The parameters of every method that there is, each unread until a method asks for it. Others are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params<'b> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'b RawValue>,
    #[serde(borrow)]
    name: Option<&'b RawValue>,
    #[serde(borrow)]
    uri: Option<&'b RawValue>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'b RawValue>,
    #[serde(borrow)]
    cursor: Option<&'b RawValue>,
    #[serde(borrow)]
    protocol_version: Option<&'b RawValue>,
    #[serde(borrow)]
    notifications: Option<&'b RawValue>,
}

/// What every request of the current revision says about its client.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Meta<'b> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub(super) version: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub(super) capabilities: Option<&'b RawValue>,
}

// === impl Message ===

impl<'b> Message<'b> {
    /// Reads one message.
    pub(super) fn read(body: &'b [u8]) -> Result<Self, Refusal> {
        let envelope = serde_json::from_slice::<Envelope<'_>>(body);
        let envelope = envelope.map_err(|fault| Refusal::unreadable(&fault))?;
        if envelope.jsonrpc != "2.0" {
            return Err(Refusal::invalid("'jsonrpc' must be \"2.0\""));
        }
        match envelope {
            Envelope { method: Some(method), id: Some(id), params, .. } if is_id(id) => {
                Ok(Self::Request(Request { id, method, params }))
            }
            Envelope { method: Some(_), id: Some(_), .. } => {
                Err(Refusal::invalid("'id' must be a text or a number"))
            }
            Envelope { method: None, result: None, error: None, .. } => {
                Err(Refusal::invalid("the message has no 'method'"))
            }
            Envelope { method: Some(method), params: Some(params), .. }
                if method == CANCELLED && is_object(params) =>
            {
                let cancelled = serde_json::from_str::<Cancelled<'_>>(params.get());
                Ok(cancelled.map_or(Self::Other, |cancelled| Self::Cancelled(cancelled.request_id)))
            }
            _ => Ok(Self::Other),
        }
    }
}

/// The messages of a body that is a list, each unread; `None` for any other body.
pub(super) fn batch(body: &[u8]) -> Option<Result<Vec<&RawValue>, Refusal>> {
    let is_list = body.trim_ascii_start().starts_with(b"[");
    is_list.then(|| serde_json::from_slice(body).map_err(|fault| Refusal::unreadable(&fault)))
}

fn is_id(id: &RawValue) -> bool {
    id.get().starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

/// Keeps `null` apart from nothing at all.
pub(super) fn even_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

// === impl Request ===

impl<'b> Request<'b> {
    /// Its parameters. What is wrong with them matters only to a method that reads them.
    pub(super) fn params(&self) -> Result<Params<'b>, Refusal> {
        let Some(params) = self.params else { return Ok(Params::default()) };
        // A list would be read as the fields one after the other.
        if !is_object(params) {
            return Err(Refusal::params("'params' must be an object"));
        }
        serde_json::from_str(params.get())
            .map_err(|fault| Refusal::params(format!("'params' do not fit {}: {fault}", self.method)))
    }

    /// Whether a client of an older revision begins with it.
    pub(super) fn opens_session(&self) -> bool {
        self.method == "initialize"
    }

    /// Its parameters, unread.
    pub(super) fn raw_params(&self) -> Option<&'b RawValue> {
        self.params
    }
}

// === impl Params ===

impl<'b> Params<'b> {
    /// The tool or the prompt that is asked for.
    pub(super) fn name(&self) -> Result<Option<String>, Refusal> {
        text("name", self.name)
    }

    /// The resource that is asked for.
    pub(super) fn uri(&self) -> Result<Option<String>, Refusal> {
        text("uri", self.uri)
    }

    /// Where the next page begins.
    pub(super) fn cursor(&self) -> Result<Option<String>, Refusal> {
        text("cursor", self.cursor)
    }

    /// The revision that a handshake asks for.
    pub(super) fn protocol_version(&self) -> Result<Option<String>, Refusal> {
        text("protocolVersion", self.protocol_version)
    }

    /// Whether a client that listens wants to be told of changes of the list.
    pub(super) fn wants_list_changes(&self) -> Result<bool, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Notifications {
            tools_list_changed: Option<bool>,
        }
        let Some(wanted) = self.notifications.filter(|wanted| is_object(wanted)) else {
            return Err(Refusal::params("'notifications' must be an object that names what to listen to"));
        };
        let wanted = serde_json::from_str::<Notifications>(wanted.get());
        let wanted = wanted.map_err(|_| Refusal::params("'toolsListChanged' must be true or false"))?;
        Ok(wanted.tools_list_changed.unwrap_or(false))
    }

    /// What the request says about its client.
    pub(super) fn meta(&self) -> Result<Meta<'b>, Refusal> {
        let Some(meta) = self.meta else { return Ok(Meta::default()) };
        if !is_object(meta) {
            return Err(Refusal::meta("'_meta' must be an object"));
        }
        serde_json::from_str(meta.get())
            .map_err(|fault| Refusal::meta(format!("'_meta' cannot be read: {fault}")))
    }
}

fn text(key: &str, value: Option<&RawValue>) -> Result<Option<String>, Refusal> {
    let text = value.map(|value| serde_json::from_str(value.get())).transpose();
    text.map_err(|_| Refusal::params(format!("'{key}' must be a text")))
}

/// Whether `value` is a JSON object.
pub(super) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}
