//! The methods of a server that has tools and nothing else.

use serde::Serialize;
use serde_json::value::RawValue;

use super::changes;
use super::era::Era;
use super::passing;
use super::reply::{Refusal, success};
use super::request::{Params, Request, is_object};
use super::tools::{AboutTask, Server, ToolAnswer, Tools, Wanted};
use crate::follow_up::is_about_task;
use crate::version::{NEWEST_WITH_HANDSHAKE, SPOKEN, has_handshake};

/// A result with what the current era adds to every one.
#[derive(Serialize)]
struct Complete<R> {
    #[serde(rename = "resultType", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    result: R,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<ResultMeta>,
}

#[derive(Serialize)]
struct ResultMeta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server: ServerInfo,
}

#[derive(Serialize)]
struct ServerInfo {
    name: &'static str,
    title: &'static str,
    version: &'static str,
}

/// For how long, and for whom, an answer may be kept.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Caching {
    ttl_ms: u64,
    cache_scope: &'static str,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Capabilities {
    tools: ToolsCapability,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsCapability {
    list_changed: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    supported_versions: &'static [&'static str],
    capabilities: Capabilities,
    instructions: &'static str,
    #[serde(flatten)]
    caching: Caching,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Initialized<'p> {
    protocol_version: &'p str,
    capabilities: Capabilities,
    server_info: ServerInfo,
    instructions: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsPage<'l> {
    tools: Vec<&'l RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(flatten)]
    caching: Option<Caching>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    content: [Text<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a RawValue>,
    is_error: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// Answers one request with a whole message. Parameters that cannot be read are for the methods that take some: one
/// that does not exist is told so first.
///
/// # Errors
/// When the answer is an error.
pub(super) async fn answer<T: Tools>(
    server: &Server,
    tools: &T,
    era: Era,
    request: &Request<'_>,
    params: Result<Params<'_>, Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let asked = Asked { server, era, id: request.id, params: request.raw_params() };
    match (era, &*request.method) {
        (Era::Current, "server/discover") => asked.discover(),
        (Era::Older, "initialize") => asked.initialize(&params?),
        (Era::Older, "ping") => asked.complete(Empty {}),
        (_, "tools/list") => asked.list(tools, &params?).await,
        (_, "tools/call") => asked.call(tools, &params?).await,
        (Era::Current, "subscriptions/listen") if server.announces => asked.listen(tools, &params?).await,
        (_, method) => match asked.about_task(tools, method).await {
            Some(answer) => asked.answered(answer),
            None => Err(Refusal::method(era.unknown_method(), method)),
        },
    }
}

/// Who is asked, in which era, and under which id.
struct Asked<'q> {
    server: &'q Server,
    era: Era,
    id: &'q RawValue,
    params: Option<&'q RawValue>,
}

impl Asked<'_> {
    fn discover(&self) -> Result<Vec<u8>, Refusal> {
        self.complete(Discovered {
            supported_versions: &SPOKEN,
            capabilities: self.capabilities(),
            instructions: self.server.instructions,
            caching: self.caching(),
        })
    }

    /// A client that asks for a revision that is not known gets the newest one that it can know; refusing it would
    /// leave it without an answer that it understands.
    fn initialize(&self, params: &Params<'_>) -> Result<Vec<u8>, Refusal> {
        let wanted = params.protocol_version()?.filter(|version| has_handshake(version));
        self.complete(Initialized {
            protocol_version: wanted.as_deref().unwrap_or(NEWEST_WITH_HANDSHAKE),
            capabilities: self.capabilities(),
            server_info: self.server_info(),
            instructions: self.server.instructions,
        })
    }

    async fn list<T: Tools>(&self, tools: &T, params: &Params<'_>) -> Result<Vec<u8>, Refusal> {
        let listing = tools.listing().await.map_err(|fault| Refusal::unavailable(&fault))?;
        let page = listing.page(params.cursor()?.as_deref());
        let page = page.map_err(|_| Refusal::params("'cursor' is none that this server gave"))?;
        self.complete(ToolsPage {
            tools: page.tools.iter().map(|tool| &*tool.entry).collect(),
            next_cursor: page.next,
            caching: (self.era == Era::Current).then(|| self.caching()),
        })
    }

    async fn call<T: Tools>(&self, tools: &T, params: &Params<'_>) -> Result<Vec<u8>, Refusal> {
        let name = params.name()?.ok_or_else(|| Refusal::params("'name' is missing"))?;
        let none = no_arguments()?;
        let arguments = match params.arguments {
            Some(arguments) if is_object(arguments) => arguments,
            Some(arguments) if arguments.get() != "null" => {
                return Err(Refusal::params("'arguments' must be an object"));
            }
            _ => &*none,
        };
        let is_current = self.era == Era::Current;
        let wanted = Wanted { id: self.id, name: &name, arguments, params: self.params, is_current };
        let answer = tools.call(wanted).await;
        self.answered(answer.ok_or_else(|| Refusal::params(format!("Unknown tool: {name}")))?)
    }

    async fn about_task<T: Tools>(&self, tools: &T, method: &str) -> Option<ToolAnswer> {
        if !is_about_task(method) {
            return None;
        }
        let is_current = self.era == Era::Current;
        tools.about_task(AboutTask { method, params: self.params, is_current }).await
    }

    fn answered(&self, answer: ToolAnswer) -> Result<Vec<u8>, Refusal> {
        match answer {
            ToolAnswer::Said { body, is_error } => self.said(&body, is_error),
            ToolAnswer::Result(result) if self.era == Era::Current => {
                Ok(passing::to_current(self.id, &result))
            }
            ToolAnswer::Result(result) => match passing::to_older(self.id, &result) {
                Some(message) => Ok(message),
                None => self.said(passing::WANTS_MORE.as_bytes(), true),
            },
            ToolAnswer::Refused(error) => Err(Refusal::passed_on(error)),
        }
    }

    /// Lasts as long as there is something to tell.
    async fn listen<T: Tools>(&self, tools: &T, params: &Params<'_>) -> Result<Vec<u8>, Refusal> {
        tools.follow(changes::for_current(self.id, params.wants_list_changes()?)).await;
        Ok(changes::end(self.id))
    }

    /// An error is told as text alone: what is structured must be as the tool's output schema says, and clients check.
    fn said(&self, body: &[u8], is_error: bool) -> Result<Vec<u8>, Refusal> {
        let body = serde_json::from_slice::<&RawValue>(body);
        let body = body.map_err(|fault| Refusal::internal(&fault))?;
        self.complete(CallResult {
            content: [Text { r#type: "text", text: body.get() }],
            structured_content: Some(body).filter(|_| !is_error),
            is_error,
        })
    }

    fn complete(&self, result: impl Serialize) -> Result<Vec<u8>, Refusal> {
        let is_current = self.era == Era::Current;
        let meta = is_current.then(|| ResultMeta { server: self.server_info() });
        success(self.id, Complete { kind: is_current.then_some("complete"), result, meta })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { tools: ToolsCapability { list_changed: self.server.announces } }
    }

    fn server_info(&self) -> ServerInfo {
        let Server { name, title, version, .. } = *self.server;
        ServerInfo { name, title, version }
    }

    fn caching(&self) -> Caching {
        let ttl_ms = u64::try_from(self.server.list_ttl.as_millis()).unwrap_or(u64::MAX);
        Caching { ttl_ms, cache_scope: self.server.list_scope.as_str() }
    }
}

fn no_arguments() -> Result<Box<RawValue>, Refusal> {
    RawValue::from_string("{}".to_owned()).map_err(|fault| Refusal::internal(&fault))
}
