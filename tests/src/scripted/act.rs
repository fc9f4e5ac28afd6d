//! What a scripted agent can be told.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{Reply, error, reply};

/// How an agent wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speech {
    /// Revision 2026-07-28: stateless, with routing headers, which it checks.
    Current,
    /// `initialize` first, and its session from then on.
    Session,
    /// `initialize` first, without a session.
    Handshake,
    /// `tools/call` and nothing else.
    #[default]
    Bare,
}

/// What an agent does with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Act {
    /// Executes it and answers.
    #[default]
    Answer,
    /// Executes it, waits, and answers.
    AnswerAfter(Duration),
    /// Executes it, reports its progress so many times, each after this pause, and answers. Only as a stream.
    Progress(usize, Duration),
    /// Executes it, reports its progress once and then gives so many signs of life, each after this pause, and answers under
    /// an id of its own. Only as a stream.
    Hum(usize, Duration),
    /// Executes it, asks its client something, and answers when it was answered. Only as a stream.
    AskMeanwhile,
    /// Executes it and closes the connection instead of answering.
    Vanish,
    /// Refuses it with this status.
    Refuse(u16),
    /// Executes it and answers something that is no JSON-RPC.
    Babble,
    /// Executes it and reports that the tool failed.
    ToolError,
    /// Answers with a JSON-RPC error.
    RpcError(i64),
    /// Executes it once its caller has given back the state that it was handed out when it called first.
    AskBack,
    /// Makes a task of it, and tells of the task whoever asks for it by its id.
    MakeTask,
}

/// The answer to a method that it does not know; agents of each era have their own.
pub(super) fn unknown_method(message: &Value, speech: Speech) -> Reply {
    let nobody = json!({"id": "server-error"});
    match speech {
        Speech::Current => error(StatusCode::NOT_FOUND, message, -32601, "Method not found"),
        Speech::Session => error(StatusCode::BAD_REQUEST, &nobody, -32600, "Missing session ID"),
        Speech::Handshake => error(StatusCode::OK, message, -32601, "Method not found"),
        Speech::Bare => reply(StatusCode::NOT_FOUND, "404 page not found".to_owned()),
    }
}

/// Why a call is not taken as it came; agents of each era have their own ways of saying it.
pub(super) fn refusal(
    speech: Speech,
    headers: &HeaderMap,
    message: &Value,
    is_greeted: bool,
    session: &str,
) -> Option<Reply> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match speech {
        Speech::Current => {
            let name = message["params"]["name"].as_str().unwrap_or_default();
            let meta = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
            let agrees = message["method"] == header("mcp-method") && header("mcp-name") == name;
            let well = agrees && header("mcp-protocol-version") == "2026-07-28" && meta == "2026-07-28";
            (!well).then(|| error(StatusCode::BAD_REQUEST, message, -32020, "headers and body disagree"))
        }
        Speech::Session if header("mcp-session-id") != session => {
            let nobody = json!({"id": "server-error"});
            Some(error(StatusCode::NOT_FOUND, &nobody, -32600, "Session not found"))
        }
        Speech::Session | Speech::Handshake if !is_greeted => {
            Some(error(StatusCode::BAD_REQUEST, message, -32000, "Server not initialized"))
        }
        _ => None,
    }
}
