//! What our agent is offered, behind the front that its client talks to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use mesh_mcp::beside::Beside;
use mesh_mcp::error::{HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, REQUEST_CANCELLED, RpcError};
use mesh_mcp::follow_up::{self, Holder, REQUEST_STATE, TASK_ID, seal_result};
use mesh_mcp::front::listing::Listing;
use mesh_mcp::front::tools::{AboutTask, Changes, ToolAnswer, Tools, Unavailable, Wanted};
use mesh_mcp::headers::SESSION_ID;
use mesh_mcp::note::{self, Note};
use mesh_mcp::param_header;
use mesh_mcp::raw::{Members, RawJson};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::api::events::NOTES;
use crate::api::reply::{failure_body, trouble_body};
use crate::api::state::State;
use crate::course::Call;
use crate::flights::Flights;
use crate::meta_tools::{AnyCall, Search, found};
use crate::naming::{CALL, SEARCH};
use crate::offer::Shelf;
use crate::outbound::Failure;
use crate::passport::Passport;
use crate::stock::Tool;
use crate::tool::{Answer, ToolCall};

/// The one question about a task that changes nothing.
const ASKS: &str = "tasks/get";
/// Shortest time between two notices of changes.
const BETWEEN_NOTICES: Duration = Duration::from_secs(1);

/// The tools of the mesh, for one request of a client.
pub(super) struct Offered<'q> {
    pub(super) state: &'q Arc<State>,
    /// Of the request.
    pub(super) headers: &'q HeaderMap,
    pub(super) passport: &'q Passport,
    /// Hears what happens before the answer, if the client wants to.
    pub(super) tell: Option<mpsc::Sender<Bytes>>,
}

/// What a client says in a call beside the tool and its arguments.
struct Said<'w> {
    params: Members<'w>,
    progress_token: Option<&'w RawValue>,
    /// What was handed out and is given back: what it is called, who made it, and how that one knows it.
    given_back: Option<(&'static str, Holder, String)>,
}

impl Tools for Offered<'_> {
    async fn listing(&self) -> Result<Arc<Listing>, Unavailable> {
        self.state.offer.shelf().await.map(|shelf| Arc::clone(&shelf.listing))
    }

    /// Whatever goes wrong on the way is told as a result, from which a model can learn.
    async fn call(&self, wanted: Wanted<'_>) -> Option<ToolAnswer> {
        let offer = &self.state.offer;
        let shelf = match offer.shelf().await {
            Ok(shelf) => shelf,
            Err(fault) => return Some(trouble(&fault)),
        };
        let (name, wanted) = match wanted.name {
            SEARCH if offer.has_meta_tools() => return Some(self.search(wanted.arguments).await),
            CALL if offer.has_meta_tools() => match any_call(&wanted, &shelf) {
                Ok(called) => called,
                Err(reason) => return Some(trouble(&reason)),
            },
            name => (name.to_owned(), wanted),
        };
        let tool = shelf.tools.get(&name)?;
        // A call in a call has the headers of the outer one.
        if wanted.is_current && name == wanted.name {
            let arguments = wanted.arguments.get().as_bytes();
            if let Err(reason) = param_header::check(&tool.params, arguments, self.headers) {
                return Some(refused(HEADER_MISMATCH, &reason));
            }
        }
        Some(self.carry_or_cancel(tool, &wanted).await)
    }

    /// Whoever made the task is asked, and nobody else.
    async fn about_task(&self, asked: AboutTask<'_>) -> Option<ToolAnswer> {
        let said = match Said::read(asked.params, TASK_ID) {
            Ok(said) => said,
            Err(reason) => return Some(refused(INVALID_PARAMS, &reason)),
        };
        let Some((_, holder, id)) = &said.given_back else {
            return Some(refused(INVALID_PARAMS, "'taskId' is missing"));
        };
        let shelf = match self.state.offer.shelf().await {
            Ok(shelf) => shelf,
            Err(fault) => return Some(refused(INTERNAL_ERROR, &fault.to_string())),
        };
        let Some(tool) = shelf.tools.get(&holder.tool) else {
            return Some(refused(INVALID_PARAMS, "the tool whose task it is is no longer there"));
        };
        let errand = ToolCall::about_task(asked.method, id.clone(), said.beside(asked.is_current));
        Some(match self.send(tool, errand, &said, asked.method == ASKS).await {
            // What is asked about a task is no call of a tool, so there is no result that could tell it.
            ToolAnswer::Said { body, .. } => refused(INTERNAL_ERROR, &String::from_utf8_lossy(&body)),
            answer => answer,
        })
    }

    fn session(&self) -> Option<HeaderValue> {
        Flights::session()
    }

    fn cancel(&self, id: &RawValue) {
        if let Some(session) = self.headers.get(SESSION_ID) {
            self.state.flights.cancel(session, id);
        }
    }

    async fn follow(&self, changes: Changes) {
        let Some(tell) = &self.tell else { return };
        let mut seen = self.state.offer.shelf().await.map_or(0, |shelf| shelf.edition);
        // A client that is gone takes this with it.
        if let Some(opening) = changes.opening {
            tell.send(opening).await.ok();
        }
        loop {
            tokio::select! {
                biased;
                () = self.state.closing.cancelled() => return,
                edition = self.state.offer.changed(seen), if changes.notice.is_some() => seen = edition,
            }
            if let Some(notice) = changes.notice.clone() {
                tell.send(notice).await.ok();
            }
            tokio::time::sleep(BETWEEN_NOTICES).await;
        }
    }
}

impl Offered<'_> {
    async fn search(&self, arguments: &RawValue) -> ToolAnswer {
        let search = match Search::read(arguments) {
            Ok(search) => search,
            Err(reason) => return trouble(&reason),
        };
        match self.state.offer.search(&search).await {
            Ok(tools) => ToolAnswer::Said { body: found(&tools).into(), is_error: false },
            Err(fault) => trouble(&fault),
        }
    }

    /// A client of an older revision may say that it does not wait any more.
    async fn carry_or_cancel(&self, tool: &Tool, wanted: &Wanted<'_>) -> ToolAnswer {
        let Some(session) = self.headers.get(SESSION_ID).filter(|_| !wanted.is_current) else {
            return self.carry(tool, wanted).await;
        };
        let aloft = self.state.flights.take_off(session, wanted.id);
        tokio::select! {
            biased;
            answer = self.carry(tool, wanted) => answer,
            () = aloft.cancelled.cancelled() => refused(REQUEST_CANCELLED, "the client cancelled the call"),
        }
    }

    async fn carry(&self, tool: &Tool, wanted: &Wanted<'_>) -> ToolAnswer {
        let said = match Said::read(wanted.params, REQUEST_STATE) {
            Ok(said) => said,
            Err(reason) => return refused(INVALID_PARAMS, &reason),
        };
        let beside = said.beside(wanted.is_current);
        let errand = ToolCall::new(RawJson::from(wanted.arguments)).with(beside);
        self.send(tool, errand, &said, self.passport.vouches()).await
    }

    async fn send(&self, tool: &Tool, errand: ToolCall, said: &Said<'_>, is_safe: bool) -> ToolAnswer {
        let target = match self.state.targets.get(&tool.capability, &self.conditions(tool)) {
            Ok(target) => target,
            Err(error) => return failed(Failure { error, attempts: Vec::new() }),
        };
        let pinned = said.given_back.as_ref().map(|(_, holder, _)| holder.agent.clone());
        let call = Call { target, passport: self.passport.clone(), pinned, is_safe_to_repeat: is_safe };
        let outcome = match &self.tell {
            None => self.state.outbound.carry(&call, &errand).await,
            Some(tell) => {
                let (notes, heard) = mpsc::channel(NOTES);
                let limits = self.state.pace.limits;
                let errand = errand.listening(notes, limits, said.progress_token.is_some());
                // With the errand goes the sender of its notes, which is how the other half knows that it is done.
                let carrying = async move { self.state.outbound.carry(&call, &errand).await };
                tokio::join!(carrying, pass_on(heard, tell, said.progress_token)).0
            }
        };
        match outcome {
            Ok(reply) => match reply.answer {
                Answer::Result(result) => {
                    let (agent, tool) = (reply.endpoint.agent_id.clone(), tool.listed.name.clone());
                    ToolAnswer::Result(seal_result(result, &Holder { agent, tool }))
                }
                Answer::Error(error) => ToolAnswer::Refused(error),
            },
            Err(failure) => failed(failure),
        }
    }

    /// The conditions of a call: those of the manifest, or the versions that take what is listed.
    fn conditions(&self, tool: &Tool) -> String {
        let targets = &self.state.targets;
        let mut query = form_urlencoded::Serializer::new(String::new());
        let is_own = tool.namespace == targets.namespace();
        if !is_own {
            query.append_pair("namespace", &tool.namespace);
        }
        if !(is_own && targets.is_constrained(&tool.capability)) {
            query.append_pair("version_constraint", &tool.versions);
        }
        query.finish()
    }
}

impl<'w> Said<'w> {
    /// What stands in `params`, in which something that was handed out may be given back as `name`.
    fn read(params: Option<&'w RawValue>, name: &'static str) -> Result<Self, String> {
        let members = |raw: Option<&'w RawValue>| -> Members<'w> {
            raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
        };
        let params = members(params);
        let progress_token = members(params.get("_meta")).get("progressToken");
        let given_back = params.get(name).map(|sealed| {
            let sealed = serde_json::from_str::<String>(sealed.get()).ok();
            let opened = sealed.as_deref().and_then(follow_up::open);
            let opened = opened.map(|(holder, inner)| (name, holder, inner.to_owned()));
            opened.ok_or_else(|| format!("'{name}' is none that this server gave"))
        });
        Ok(Self { progress_token, given_back: given_back.transpose()?, params })
    }

    fn beside(&self, is_current: bool) -> Beside {
        let given_back = self.given_back.as_ref().map(|(name, _, inner)| (*name, inner.as_str()));
        Beside::read(&self.params, is_current, given_back)
    }
}

/// Passes on what a provider says before its answer, under the token of our own client, until there is nothing more.
async fn pass_on(mut heard: mpsc::Receiver<Bytes>, tell: &mpsc::Sender<Bytes>, token: Option<&RawValue>) {
    while let Some(said) = heard.recv().await {
        let passed = match (Note::of(&said), token) {
            (Note::Progress, Some(token)) => note::under(&said, token),
            (Note::Progress, None) | (Note::OfTheHop, _) => None,
            (Note::Other, _) => Some(said),
        };
        if let Some(passed) = passed {
            tell.send(passed).await.ok();
        }
    }
}

/// The call that is wrapped in a call of [`CALL`].
fn any_call<'w>(wanted: &Wanted<'w>, shelf: &Shelf) -> Result<(String, Wanted<'w>), String> {
    let AnyCall { name, arguments } = serde_json::from_str(wanted.arguments.get())
        .map_err(|fault| format!("the arguments do not fit {CALL}: {fault}"))?;
    let arguments: &'w RawValue = match arguments {
        Some(arguments) => arguments,
        None => serde_json::from_str("{}").map_err(|fault| fault.to_string())?,
    };
    if !shelf.tools.contains_key(&name) {
        return Err(format!("there is no tool '{name}': call {SEARCH} to find one"));
    }
    match arguments.get().starts_with('{') {
        true => Ok((name, Wanted { arguments, ..*wanted })),
        false => Err("'arguments' must be an object".to_owned()),
    }
}

fn failed(failure: Failure) -> ToolAnswer {
    ToolAnswer::Said { body: failure_body(failure).1.into(), is_error: true }
}

fn trouble(reason: &impl ToString) -> ToolAnswer {
    ToolAnswer::Said { body: trouble_body(reason.to_string()).into(), is_error: true }
}

fn refused(code: i64, message: &str) -> ToolAnswer {
    ToolAnswer::Refused(RpcError { code, message: message.to_owned(), data: None })
}
