//! What whoever offers tools has to supply.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::value::RawValue;

use super::listing::Listing;
use crate::error::RpcError;
use crate::raw::RawJson;

/// Who the server is, for clients and the people behind them.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// Name of the program.
    pub name: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// Its release.
    pub version: &'static str,
    /// What a model should know before it calls anything.
    pub instructions: &'static str,
    /// Time for which clients may keep the list of tools.
    pub list_ttl: Duration,
    /// Who else may be given a list that one client got.
    pub list_scope: Scope,
    /// Whether clients that want to are told when the list changes.
    pub announces: bool,
}

/// Who may be given a list that one client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everybody: the list is the same for all.
    Public,
    /// Nobody else.
    Private,
}

/// The tools that a server offers.
pub trait Tools: Sync {
    /// The tools that are there now. Asked for each request, so the list may change at any time. Clients that are not told
    /// of changes ([`Server::announces`]) go by [`Server::list_ttl`].
    ///
    /// # Errors
    /// When it is not known what there is.
    fn listing(&self) -> impl Future<Output = Result<Arc<Listing>, Unavailable>> + Send;

    /// Calls a tool; `None` when there is no such tool, listed or not.
    fn call(&self, wanted: Wanted<'_>) -> impl Future<Output = Option<ToolAnswer>> + Send;

    /// Answers a request about the task of a call; `None` when there are no tasks here.
    fn about_task(&self, _asked: AboutTask<'_>) -> impl Future<Output = Option<ToolAnswer>> + Send {
        std::future::ready(None)
    }

    /// The session that a client of an older revision is in from now on; none when there is no use for one.
    fn session(&self) -> Option<HeaderValue> {
        None
    }

    /// A client of an older revision does not wait for the answer to its request `id` any more.
    fn cancel(&self, _id: &RawValue) {}

    /// Tells whoever asks of every change of the list, until there is nothing more to tell. Asked only of a server that
    /// announces changes.
    fn follow(&self, _changes: Changes) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// It is not known which tools there are, and why not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// A call of a tool.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'r> {
    /// The id of the request.
    pub id: &'r RawValue,
    /// The tool.
    pub name: &'r str,
    /// Its arguments, a JSON object.
    pub arguments: &'r RawValue,
    /// All parameters of the request as they came, these two among them.
    pub params: Option<&'r RawValue>,
    /// Whether the client speaks the current revision, so that what it says about itself is in the parameters.
    pub is_current: bool,
}

/// A request about the task of a call.
#[derive(Debug, Clone, Copy)]
pub struct AboutTask<'r> {
    /// What to do.
    pub method: &'r str,
    /// All parameters of the request as they came.
    pub params: Option<&'r RawValue>,
    /// Whether the client speaks the current revision.
    pub is_current: bool,
}

/// What a tool answered.
#[derive(Debug, Clone)]
pub enum ToolAnswer {
    /// It said this.
    Said {
        /// A JSON object.
        body: Bytes,
        /// Whether the body says why the tool could not do it. A model reads it and may try again in another way.
        is_error: bool,
    },
    /// The whole result of a call at another server, which passes through.
    Result(RawJson),
    /// Another server refused the call.
    Refused(RpcError),
}

/// The messages that tell a client of changes of the list.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Says that from now on it is told; a client of an older revision is told nothing to begin with.
    pub opening: Option<Bytes>,
    /// Says that the list has changed; a client that has not asked for that is told nothing.
    pub notice: Option<Bytes>,
}

impl Scope {
    /// The word on the wire.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}
