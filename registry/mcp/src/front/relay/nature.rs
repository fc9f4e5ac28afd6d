//! What a server says of itself when the conversation begins, and how it is begun.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::call::{self, ClientInfo};
use crate::front::passing;
use crate::front::reply::{Refusal, success};
use crate::peer::Peer;
use crate::raw::{Members, RawJson};
use crate::splice::{Splice, place};
use crate::version::{CURRENT, NEWEST_WITH_HANDSHAKE, SPOKEN, has_handshake};

/// What a server said of itself.
#[derive(Debug, Clone)]
pub struct Nature {
    /// Whether it speaks the current revision.
    pub is_current: bool,
    capabilities: Box<RawValue>,
    server_info: Option<Box<RawValue>>,
    instructions: Option<Box<RawValue>>,
    /// All that a current server said.
    told: Option<RawJson>,
}

/// The answer to `server/discover` and that to `initialize`, which differ in where things stand.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Introduction<'t> {
    supported_versions: Option<Vec<String>>,
    protocol_version: Option<String>,
    #[serde(borrow)]
    capabilities: Option<&'t RawValue>,
    #[serde(borrow)]
    server_info: Option<&'t RawValue>,
    #[serde(borrow)]
    instructions: Option<&'t RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'t>>,
}

#[derive(Deserialize)]
struct Meta<'t> {
    #[serde(borrow, rename = "io.modelcontextprotocol/serverInfo")]
    server_info: Option<&'t RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Initialized<'n> {
    protocol_version: &'n str,
    capabilities: &'n RawValue,
    server_info: &'n RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'n RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovered<'n> {
    result_type: &'static str,
    supported_versions: &'static [&'static str],
    capabilities: &'n RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'n RawValue>,
    ttl_ms: u64,
    cache_scope: &'static str,
    #[serde(rename = "_meta")]
    meta: DiscoveredMeta<'n>,
}

#[derive(Serialize)]
struct DiscoveredMeta<'n> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: &'n RawValue,
}

/// The id of the question whether the server is a current one.
pub const DISCOVERY: u64 = 1;
/// The id of the handshake with an older one. It is another one, because the question may be answered late.
pub const HANDSHAKE: u64 = 2;
/// The id of the request of our own to be told of changes.
pub const LISTENING: u64 = 3;
/// The first id of a client's request.
pub const FIRST_ASK: u64 = 4;

/// Asks whether the server is a current one.
pub fn discover(client: ClientInfo) -> Vec<u8> {
    numbered(&call::discover(client).body, DISCOVERY)
}

/// Opens the conversation with an older server.
pub fn initialize(client: ClientInfo) -> Vec<u8> {
    numbered(&call::initialize(client).body, HANDSHAKE)
}

/// Tells an older server that the handshake is done.
pub fn initialized() -> Vec<u8> {
    call::initialized(&Peer::Bare).body.to_vec()
}

fn numbered(request: &[u8], number: u64) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Envelope<'t> {
        #[serde(borrow)]
        id: &'t RawValue,
    }
    let mut splice = Splice::of(request);
    if let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(request) {
        splice.replace(place(request, envelope.id), number.to_string());
    }
    splice.line()
}

/// Asks a current server to tell of every change of its lists.
pub fn listen(client: ClientInfo) -> Vec<u8> {
    let meta = call::introduction(client);
    let wanted =
        r#""notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;
    let head = format!(
        r#"{{"jsonrpc":"2.0","id":{LISTENING},"method":"subscriptions/listen","params":{{{wanted},"_meta":{{"#
    );
    [head.as_bytes(), &meta, b"}}}"].concat()
}

impl Nature {
    /// What a result says, if it is one of `server/discover` by a current server or one of `initialize`.
    pub fn read(result: &[u8]) -> Option<Self> {
        let told: Introduction<'_> = serde_json::from_slice(result).ok()?;
        let is_current = match (&told.supported_versions, &told.protocol_version) {
            (Some(versions), _) => versions.iter().any(|version| version == CURRENT).then_some(true)?,
            (None, Some(_)) => false,
            (None, None) => return None,
        };
        let server_info = told.server_info.or_else(|| told.meta.and_then(|meta| meta.server_info));
        Some(Self {
            is_current,
            capabilities: told.capabilities.map_or_else(empty, RawValue::to_owned),
            server_info: server_info.map(RawValue::to_owned),
            instructions: told.instructions.map(RawValue::to_owned),
            told: RawJson::read(&Bytes::copy_from_slice(result)).ok().filter(|_| is_current),
        })
    }

    /// The nature of a server that takes requests but introduces itself in no way.
    pub fn unknown() -> Self {
        Self {
            is_current: false,
            capabilities: raw(r#"{"tools":{}}"#),
            server_info: None,
            instructions: None,
            told: None,
        }
    }

    /// Whether it tells when one of its lists changes.
    pub fn announces(&self) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Capability {
            #[serde(default)]
            list_changed: bool,
        }
        #[derive(Deserialize)]
        struct Capabilities {
            tools: Option<Capability>,
            prompts: Option<Capability>,
            resources: Option<Capability>,
        }
        let capabilities = serde_json::from_str::<Capabilities>(self.capabilities.get());
        capabilities.is_ok_and(|its| {
            [its.tools, its.prompts, its.resources].into_iter().flatten().any(|one| one.list_changed)
        })
    }

    /// The answer to `initialize` that asks for the revision `wanted`. A client that asks for one that is not known gets
    /// the newest that it can know.
    pub(super) fn initialized(&self, id: &RawValue, wanted: Option<&str>) -> Result<Vec<u8>, Refusal> {
        let wanted = wanted.filter(|version| has_handshake(version));
        let unnamed = unnamed();
        success(
            id,
            Initialized {
                protocol_version: wanted.unwrap_or(NEWEST_WITH_HANDSHAKE),
                capabilities: &self.capabilities,
                server_info: self.server_info.as_deref().unwrap_or(&unnamed),
                instructions: self.instructions.as_deref(),
            },
        )
    }

    /// The answer to `server/discover`: what a current server said, in the revisions that are spoken here, or what is known
    /// of one that does not know the question.
    pub(super) fn discovered(&self, id: &RawValue) -> Result<Vec<u8>, Refusal> {
        if let Some(told) = self.told_with_our_revisions() {
            return Ok(passing::to_current(id, &told));
        }
        let unnamed = unnamed();
        success(
            id,
            Discovered {
                result_type: "complete",
                supported_versions: &SPOKEN,
                capabilities: &self.capabilities,
                instructions: self.instructions.as_deref(),
                ttl_ms: 0,
                cache_scope: "private",
                meta: DiscoveredMeta { server_info: self.server_info.as_deref().unwrap_or(&unnamed) },
            },
        )
    }
}

impl Nature {
    fn told_with_our_revisions(&self) -> Option<RawJson> {
        let told = self.told.as_ref()?.as_bytes();
        let members = serde_json::from_slice::<Members<'_>>(told).ok()?;
        let mut splice = Splice::of(told);
        splice.replace(place(told, members.get("supportedVersions")?), serde_json::to_vec(&SPOKEN).ok()?);
        RawJson::read(&splice.line().into()).ok()
    }
}

fn empty() -> Box<RawValue> {
    raw("{}")
}

/// Stands for a server that has not said its name.
fn unnamed() -> Box<RawValue> {
    raw(r#"{"name":"unnamed","version":"0"}"#)
}

/// These texts are JSON.
fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const US: ClientInfo = ClientInfo { name: "us", version: "1" };

    #[test]
    fn both_eras_introduce_themselves_and_garbage_does_not() {
        let discovered = br#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"a","version":"1"}}}"#;
        let nature = Nature::read(discovered).unwrap();
        assert!(nature.is_current && nature.announces());
        let told = String::from_utf8(nature.discovered(&raw("1")).unwrap()).unwrap();
        assert!(told.contains(r#""supportedVersions":["2026-07-28","2025-11-25""#), "{told}");
        assert!(told.contains(r#""capabilities":{"tools":{"listChanged":true}}"#), "{told}");
        let initialized = br#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"a","version":"1"}}"#;
        let nature = Nature::read(initialized).unwrap();
        assert!(!nature.is_current && !nature.announces());
        for other in [&b"{}"[..], b"[]", br#"{"supportedVersions":["2025-06-18"]}"#] {
            assert!(Nature::read(other).is_none());
        }
    }

    #[test]
    fn a_client_of_either_era_is_told_what_the_server_said() {
        let told = br#"{"protocolVersion":"2025-06-18","capabilities":{"x": 1e2},"serverInfo":{"name":"a","version":"1"},"instructions":"be kind"}"#;
        let nature = Nature::read(told).unwrap();
        let id = raw("\"q\"");
        let older: Value =
            serde_json::from_slice(&nature.initialized(&id, Some("2025-03-26")).unwrap()).unwrap();
        assert_eq!((&older["id"], &older["result"]["protocolVersion"]), (&json!("q"), &json!("2025-03-26")));
        let unknown = nature.initialized(&id, Some("1999-01-01")).unwrap();
        assert!(String::from_utf8(unknown).unwrap().contains(NEWEST_WITH_HANDSHAKE));
        let current = String::from_utf8(nature.discovered(&id).unwrap()).unwrap();
        for part in
            [r#""capabilities":{"x": 1e2}"#, r#""instructions":"be kind""#, r#"/serverInfo":{"name":"a""#]
        {
            assert!(current.contains(part), "{part} in {current}");
        }
    }

    #[test]
    fn every_opening_line_is_json_on_one_line() {
        let lines = [discover(US), initialize(US), initialized(), listen(US)];
        let ids = [json!(DISCOVERY), json!(HANDSHAKE), json!(null), json!(LISTENING)];
        for (line, id) in lines.iter().zip(ids) {
            let value: Value = serde_json::from_slice(line).unwrap();
            assert!(value["method"].is_string() && value["id"] == id && !line.contains(&b'\n'));
        }
        let listens: Value = serde_json::from_slice(&listen(US)).unwrap();
        assert_eq!(listens["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], CURRENT);
    }
}
