//! The card: what the service says about itself to programs.

use schemars::JsonSchema;
use serde::Serialize;

/// The answer of `GET /`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Card {
    /// The service's name.
    pub(super) service: &'static str,
    /// The release.
    pub(super) version: &'static str,
    /// `healthy` or `degraded`.
    pub(super) status: &'static str,
    /// What it is for.
    pub(super) description: &'static str,
    /// Every path there is.
    pub(super) routes: Vec<&'static str>,
    /// The tools that can be called below `/mcp/tools/`.
    pub(super) tools: Vec<&'static str>,
    /// Where the API describes itself to programs.
    pub(super) openapi: &'static str,
    /// Where the API describes itself to people.
    pub(super) docs: &'static str,
}
