//! How one server wants to be spoken to, and how one finds out.
//!
//! A client asks `server/discover` first. A current server answers it, or refuses it with one of the codes that only
//! current servers know; everything else means an older server, which is asked to `initialize`. A server that knows
//! neither is called bare, without a handshake, as many hand-written ones expect.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use crate::error::{HEADER_MISMATCH, METHOD_NOT_FOUND, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION};
use crate::headers;
use crate::message::ServerMessage;
use crate::raw::RawJson;
use crate::version;

/// How one server wants to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Stateless, revision 2026-07-28.
    Current,
    /// After a handshake.
    Handshaken {
        /// The revision that the server chose.
        revision: String,
        /// The session that it minted, if it did.
        session: Option<HeaderValue>,
    },
    /// Without a handshake and without anything else.
    Bare,
}

/// Whether `server/discover` was answered by a current server.
pub fn is_current(status: StatusCode, message: Option<&ServerMessage>) -> bool {
    match message {
        Some(ServerMessage::Result(result)) => {
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Discovered {
                supported_versions: Vec<String>,
            }
            serde_json::from_slice::<Discovered>(result.as_bytes()).is_ok_and(|discovered| {
                discovered.supported_versions.iter().any(|one| one == version::CURRENT)
            })
        }
        Some(ServerMessage::Error(error)) => match error.code {
            HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_VERSION => true,
            // A current server without `server/discover` breaks the rules, but its 404 gives it away.
            METHOD_NOT_FOUND => status == StatusCode::NOT_FOUND,
            _ => false,
        },
        _ => false,
    }
}

/// What the answer to `initialize` says about the server; `None` when it takes no handshake.
pub fn handshaken(headers: &HeaderMap, message: Option<&ServerMessage>) -> Option<Peer> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized {
        protocol_version: String,
    }
    let Some(ServerMessage::Result(result)) = message else { return None };
    let initialized: Initialized = serde_json::from_slice(result.as_bytes()).ok()?;
    let session = headers.get(headers::SESSION_ID).cloned();
    Some(Peer::Handshaken { revision: initialized.protocol_version, session })
}

/// Whether the answer to `server/discover` or `initialize` says that the server announces changes of its tools.
pub fn announces_tools(told: &RawJson) -> bool {
    #[derive(Deserialize)]
    struct About {
        capabilities: Capabilities,
    }
    #[derive(Deserialize)]
    struct Capabilities {
        tools: Tools,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tools {
        list_changed: bool,
    }
    serde_json::from_slice::<About>(told.as_bytes()).is_ok_and(|about| about.capabilities.tools.list_changed)
}

impl Peer {
    /// The headers of a request that names no tool, prompt, resource or task.
    pub fn headers(&self, method: &str) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(6);
        map.insert(CONTENT_TYPE, HeaderValue::from_static(headers::JSON));
        map.insert(ACCEPT, headers::ACCEPT_BOTH);
        match self {
            Self::Current => {
                map.insert(headers::PROTOCOL_VERSION, HeaderValue::from_static(version::CURRENT));
                map.insert(headers::METHOD, headers::value(method));
            }
            Self::Handshaken { revision, session } => {
                if version::has_version_header(revision) {
                    map.insert(headers::PROTOCOL_VERSION, headers::value(revision));
                }
                map.extend(session.clone().map(|session| (headers::SESSION_ID, session)));
            }
            Self::Bare => {}
        }
        map
    }

    /// The headers of the GET with which a client hears what an older server says unasked.
    pub fn listening(&self) -> HeaderMap {
        let mut map = self.headers("");
        map.remove(CONTENT_TYPE);
        map.insert(ACCEPT, HeaderValue::from_static(headers::EVENT_STREAM));
        map
    }

    /// Whether an answer says that the session is gone and must be opened anew. The request was not carried out.
    ///
    /// The protocol says 404; several servers say 400 and name the session in the message, or say that they are not
    /// initialized (TypeScript SDK 1.x), or both in a text that is no message (Python SDK up to 1.12). A server that has
    /// carried a request out answers with a message.
    pub fn session_is_lost(&self, status: StatusCode, message: Option<&ServerMessage>) -> bool {
        let names_session = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.contains("session") || text.contains("not initialized")
        };
        match (self, message) {
            (Self::Handshaken { session: Some(_), .. }, _) if status == StatusCode::NOT_FOUND => true,
            (Self::Handshaken { session: Some(_), .. }, None) => status == StatusCode::BAD_REQUEST,
            (Self::Handshaken { .. } | Self::Bare, Some(ServerMessage::Error(error))) => {
                matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND)
                    && names_session(&error.message)
            }
            _ => false,
        }
    }

    /// Whether an answer says that the server is of another era than we thought: it was replaced by another release.
    /// The request was not carried out.
    pub fn era_has_changed(&self, status: StatusCode, message: Option<&ServerMessage>) -> bool {
        let Some(ServerMessage::Error(error)) = message else { return false };
        match self {
            Self::Current => {
                let own = matches!(
                    error.code,
                    HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_VERSION | METHOD_NOT_FOUND
                );
                matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) && !own
            }
            Self::Handshaken { .. } | Self::Bare => {
                status == StatusCode::BAD_REQUEST
                    && matches!(error.code, HEADER_MISMATCH | UNSUPPORTED_VERSION)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> ServerMessage {
        ServerMessage::read(&text.to_owned().into()).unwrap()
    }

    fn current(status: u16, text: &str) -> bool {
        is_current(StatusCode::from_u16(status).unwrap(), Some(&message(text)))
    }

    #[test]
    fn the_answers_of_real_servers_are_told_apart() {
        assert!(current(200, r#"{"id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}"#));
        assert!(current(400, r#"{"id":1,"error":{"code":-32022,"message":"unsupported"}}"#));
        assert!(current(404, r#"{"id":1,"error":{"code":-32601,"message":"no such method"}}"#));
        for (status, older) in [
            (400, r#"{"id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}"#),
            (400, r#"{"id":null,"error":{"code":-32000,"message":"Server not initialized"}}"#),
            (
                400,
                r#"{"id":"server-error","error":{"code":-32600,"message":"Unsupported protocol version"}}"#,
            ),
            (200, r#"{"id":1,"error":{"code":-32601,"message":"Method not found"}}"#),
            (200, r#"{"id":1,"result":{}}"#),
        ] {
            assert!(!current(status, older), "{older}");
        }
        assert!(!is_current(StatusCode::METHOD_NOT_ALLOWED, None));
    }

    #[test]
    fn a_handshake_yields_the_revision_and_the_session() {
        let answer = message(r#"{"id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#);
        let mut headers = HeaderMap::new();
        assert_eq!(
            handshaken(&headers, Some(&answer)),
            Some(Peer::Handshaken { revision: "2025-06-18".into(), session: None })
        );
        headers.insert(headers::SESSION_ID, HeaderValue::from_static("s1"));
        assert!(matches!(
            handshaken(&headers, Some(&answer)),
            Some(Peer::Handshaken { session: Some(_), .. })
        ));
        assert_eq!(handshaken(&headers, Some(&message(r#"{"id":1,"error":{"code":-32601}}"#))), None);
    }

    #[test]
    fn only_a_server_that_says_so_announces_its_tools() {
        let announces = |capabilities: &str| {
            let told = format!(r#"{{"protocolVersion":"2025-06-18","capabilities":{capabilities}}}"#);
            announces_tools(&RawJson::read(&told.into()).unwrap())
        };
        assert!(announces(r#"{"tools":{"listChanged":true}}"#));
        for silent in
            ["{}", r#"{"tools":{}}"#, r#"{"tools":{"listChanged":false}}"#, r#"{"tools":true}"#, "null"]
        {
            assert!(!announces(silent), "{silent}");
        }
    }

    #[test]
    fn whoever_listens_takes_events_only_and_names_the_session() {
        let session = Some(HeaderValue::from_static("s1"));
        let headers = Peer::Handshaken { revision: "2025-11-25".into(), session }.listening();
        assert_eq!(
            (&headers[ACCEPT], &headers[headers::SESSION_ID]),
            (&"text/event-stream".parse().unwrap(), &"s1".parse().unwrap())
        );
        assert!(!headers.contains_key(CONTENT_TYPE));
    }

    #[test]
    fn a_lost_session_and_a_changed_era_are_recognised() {
        let peer =
            Peer::Handshaken { revision: "2025-11-25".into(), session: Some(HeaderValue::from_static("s")) };
        assert!(
            [404, 400]
                .iter()
                .all(|status| peer.session_is_lost(StatusCode::from_u16(*status).unwrap(), None))
        );
        let without = Peer::Handshaken { revision: "2025-11-25".into(), session: None };
        assert!(
            ![404, 400]
                .iter()
                .any(|status| without.session_is_lost(StatusCode::from_u16(*status).unwrap(), None))
        );
        assert!(!peer.session_is_lost(StatusCode::UNAUTHORIZED, None));
        let missing = message(r#"{"id":"x","error":{"code":-32600,"message":"Missing session ID"}}"#);
        assert!(peer.session_is_lost(StatusCode::BAD_REQUEST, Some(&missing)));
        let of_typescript =
            r#"{"id":null,"error":{"code":-32000,"message":"Bad Request: Server not initialized"}}"#;
        assert!(peer.session_is_lost(StatusCode::BAD_REQUEST, Some(&message(of_typescript))));
        assert!(!peer.session_is_lost(StatusCode::OK, Some(&message(of_typescript))), "a tool may say so");
        assert!(Peer::Current.era_has_changed(StatusCode::BAD_REQUEST, Some(&missing)));
        assert!(!Peer::Current.session_is_lost(StatusCode::NOT_FOUND, None));
        let unknown_tool = message(r#"{"id":1,"error":{"code":-32602,"message":"Unknown tool: x"}}"#);
        assert!(!Peer::Current.era_has_changed(StatusCode::OK, Some(&unknown_tool)));
    }
}
