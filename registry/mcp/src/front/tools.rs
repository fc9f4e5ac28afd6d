//! What whoever offers tools has to supply.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::listing::Listing;

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
    /// The tools that are there now. Asked for each request, so the list may change at any time; clients are not told
    /// when it does, they go by [`Server::list_ttl`].
    fn listing(&self) -> Arc<Listing>;

    /// Calls the tool `name`; `None` when there is no such tool, listed or not. `arguments` is a JSON object.
    fn call(&self, name: &str, arguments: &RawValue) -> impl Future<Output = Option<ToolAnswer>> + Send;
}

/// What a tool answered.
#[derive(Debug, Clone)]
pub struct ToolAnswer {
    /// A JSON object.
    pub body: Bytes,
    /// Whether the body says why the tool could not do it. A model reads it and may try again in another way.
    pub is_error: bool,
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
