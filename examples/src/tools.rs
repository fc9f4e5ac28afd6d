//! The agent's tools as MCP sees them: names, schemas, hints, and answers that name the replica.
//!
//! The hints are honest, because callers act on them: a sidecar repeats a failed call of `summarize` or
//! `word_count` on another replica, and never one of `archive_note`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig, SubscriptionFilter};
use rmcp::service::{NotificationContext, RoleServer, SubscriptionContext};
use rmcp::{ErrorData, Json, ServerHandler, schemars, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::shelf::Shelf;
use crate::{prose, summary};

/// The tools of one agent. Clones share the archive, so every session of an agent sees the same one.
#[derive(Debug, Clone)]
pub struct Tools {
    name: Arc<str>,
    latency: Duration,
    archive: Arc<Archive>,
    shelf: Shelf,
}

/// Arguments of `summarize`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summarize {
    /// The text to shorten.
    pub text: String,
    /// How many sentences to keep, at least 1; 2 by default.
    #[schemars(range(min = 1))]
    pub sentences: Option<usize>,
}

/// Result of `summarize`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summarized {
    /// The most telling sentences, in their order.
    pub summary: String,
    /// How many sentences the summary has.
    pub sentences: usize,
    /// How many words the whole text has.
    pub words: usize,
    /// The replica that answered.
    pub served_by: String,
}

/// Arguments of `word_count`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordCount {
    /// The text to count.
    pub text: String,
}

/// Result of `word_count`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Counted {
    /// How many words the text has.
    pub words: usize,
    /// How many of them are different, whatever their case.
    pub distinct: usize,
    /// How many sentences the text has.
    pub sentences: usize,
    /// The replica that answered.
    pub served_by: String,
}

/// Arguments of `archive_note`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveNote {
    /// The note to keep.
    pub note: String,
}

/// Result of `archive_note`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Archived {
    /// The note's number in this replica's archive, from 1.
    pub number: usize,
    /// The replica that keeps the note.
    pub served_by: String,
}

// === impl Tools ===

#[tool_router]
impl Tools {
    /// The tools of the replica `name` that stand on `shelf`, each of which waits for `latency` before it works.
    pub fn new(name: &str, latency: Duration, shelf: Shelf) -> Self {
        Self { name: name.into(), latency, archive: Arc::default(), shelf }
    }

    /// Those that are offered at the moment.
    fn offered(&self) -> ToolRouter<Self> {
        self.shelf.away().into_iter().fold(Self::tool_router(), ToolRouter::with_disabled)
    }

    /// Shortens a text to its most telling sentences.
    ///
    /// # Errors
    /// A sentence for the caller when there is nothing to shorten or nothing would be left.
    #[tool(
        description = "Shortens a text to its most telling sentences.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    pub async fn summarize(&self, arguments: Parameters<Summarize>) -> Result<Json<Summarized>, String> {
        tokio::time::sleep(self.latency).await;
        let Summarize { text, sentences } = arguments.0;
        let limit = sentences.unwrap_or(summary::DEFAULT_SENTENCES);
        let summary = summary::summarize(&text, limit);
        match (limit, summary.words) {
            (0, _) => Err("sentences must be at least 1, got 0".to_owned()),
            (_, 0) => Err("text has no words to summarize".to_owned()),
            (_, words) => Ok(Json(Summarized {
                summary: summary.text,
                sentences: summary.sentences,
                words,
                served_by: self.name.to_string(),
            })),
        }
    }

    /// Counts the words and sentences of a text.
    #[tool(annotations(read_only_hint = true, open_world_hint = false))]
    pub async fn word_count(&self, arguments: Parameters<WordCount>) -> Json<Counted> {
        tokio::time::sleep(self.latency).await;
        let text = arguments.0.text;
        Json(Counted {
            words: prose::words(&text).count(),
            distinct: prose::words(&text).map(str::to_lowercase).collect::<HashSet<_>>().len(),
            sentences: prose::sentences(&text).len(),
            served_by: self.name.to_string(),
        })
    }

    /// Appends a note to this replica's archive and returns its number. Calling it twice archives the note twice.
    #[tool(annotations(destructive_hint = false, open_world_hint = false))]
    pub async fn archive_note(&self, arguments: Parameters<ArchiveNote>) -> Json<Archived> {
        tokio::time::sleep(self.latency).await;
        let number = self.archive.append(arguments.0.note);
        Json(Archived { number, served_by: self.name.to_string() })
    }
}

#[tool_handler(router = self.offered())]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(self.name.to_string(), env!("CARGO_PKG_VERSION")))
    }

    fn accepted_subscription_filter(&self, _: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    /// Announces changes to a client of the current revision, for as long as it listens.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut shelf = self.shelf.watch();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                _ = shelf.changed() => if context.sink().notify_tool_list_changed().await.is_err() { return Ok(()) },
            }
        }
    }

    /// Announces changes to a client of an older revision, which has a session; without one nobody would be told.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let mut shelf = self.shelf.watch();
        tokio::spawn(async move {
            while !context.peer.is_transport_closed() && shelf.changed().await.is_ok() {
                if context.peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        });
    }
}
