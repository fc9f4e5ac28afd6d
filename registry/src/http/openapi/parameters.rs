//! The parameters: those of the two queries, and the ids in paths.
//!
//! `mesh_api::query` reads the queries. A test compares what it knows with what stands here.

use mesh_api::agent::ID_PATTERN;
use mesh_api::agent::MAX_ID;
use mesh_api::capability::Stability;
use mesh_api::card::{self, Format};
use mesh_api::health::Status;
use mesh_api::query::MAX_LIMIT;
use mesh_api::schema::Components;
use mesh_api::selector::Selector;
use mesh_api::version::VersionConstraint;
use serde_json::{Value, json};

use super::operation::{Parameter, Place, Schema};

/// The id of an agent, in a path.
pub(super) const AGENT_ID: &[Parameter] = &[Parameter {
    name: "id",
    place: Place::Path,
    description: "The id under which the agent is registered.",
    schema: agent_id,
    example: "my-agent-001",
}];

/// How one agent is shown.
pub(super) const SHOWING: &[Parameter] = &[
    query(
        card::FORMAT,
        "What the agent is shown as: `server.json`, an entry of the official MCP registry, or `agent-card`, which only \
         agents have that say in their annotations where they speak A2A. The registration itself when absent.",
        format,
        "",
    ),
    header("If-None-Match", "With `format`: the `ETag` of the document that the client has."),
];

/// The filters of `GET /agents`.
pub(super) const AGENT_FILTERS: &[Parameter] = &[
    query("id", "Exact id.", text, "my-agent-001"),
    query("name", "Exact name; a similar one with `fuzzy_match`.", text, ""),
    query("namespace", "Exact namespace.", text, "production"),
    query("agent_type", "Exact type.", text, ""),
    query("status", "Any of these; every status when absent.", statuses, "healthy"),
    query("capability", "Exact name of a capability; a similar one with `fuzzy_match`.", text, ""),
    query("capability_category", "Exact category of the capability.", text, "data_processing"),
    query("category", "Short for `capability_category`; only one of the two may be given.", text, ""),
    query("capability_stability", "Exact stability of the capability.", stability, ""),
    query("stability", "Short for `capability_stability`; only one of the two may be given.", stability, ""),
    query(
        "capability_tags",
        "Tags, all of which the capability must have; any of them with `fuzzy_match`.",
        texts,
        "",
    ),
    query("tags", "Short for `capability_tags`.", texts, ""),
    query("version_constraint", "Versions of the capability that will do.", version, ""),
];

/// The filters of `GET /capabilities`.
pub(super) const CAPABILITY_FILTERS: &[Parameter] = &[
    query("name", "Exact name; a similar one with `fuzzy_match`.", text, ""),
    query("category", "Exact category.", text, ""),
    query("stability", "Exact stability.", stability, "stable"),
    query("tags", "Tags, all of which it must have; any of them with `fuzzy_match`.", texts, "data"),
    query("version_constraint", "Versions that will do.", version, ""),
    query("description_contains", "Text in the description, in upper or lower case.", text, ""),
    query(
        "include_deprecated",
        "Whether deprecated capabilities are wanted too; false when absent.",
        flag,
        "",
    ),
    query("agent_id", "Exact id of the agent.", text, ""),
    query("agent_namespace", "Exact namespace of the agent.", text, ""),
    query("namespace", "Short for `agent_namespace`; only one of the two may be given.", text, ""),
    query("agent_status", "Any of these statuses of the agent; `healthy` when absent.", statuses, ""),
    query("status", "Short for `agent_status`.", statuses, ""),
];

/// What both queries know.
pub(super) const COMMON: &[Parameter] = &[
    query("label_selector", "Labels that the agent must have.", selector, ""),
    query(
        "fuzzy_match",
        "Whether to rank by likeness instead of demanding equality; false when absent.",
        flag,
        "",
    ),
    query("limit", "Most rows of the answer; all when absent.", limit, "100"),
    query("continue", "The `continue` of the page before, for the next one of the same query.", text, ""),
];

/// How a list is read, beside what is in it: when, and whether once or for as long as things change.
pub(super) const READING: &[Parameter] = &[
    query(
        "min_resource_version",
        "The change that the answer must take into account: it waits for it, though not for ever.",
        revision,
        "",
    ),
    query(
        "watch",
        "Whether changes are wanted as they happen, as server-sent events: `ADDED`, `MODIFIED` and `DELETED` with the \
         agent, `BOOKMARK` with how far a quiet watch has come, `ERROR` when it was too slow. An agent that does not \
         fit any more is a `DELETED`. Goes without `limit`, `continue` and `min_resource_version`.",
        flag,
        "",
    ),
    query(
        "resource_version",
        "With `watch=true`: changes after this one are wanted. When absent, everything that fits comes first.",
        revision,
        "",
    ),
    header("If-None-Match", "The `ETag` of the answer that the client has."),
    header("Last-Event-ID", "The id of the last event that a watch has got, instead of `resource_version`."),
];

const fn header(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, place: Place::Header, description, schema: text, example: "" }
}

const fn query(
    name: &'static str,
    description: &'static str,
    schema: Schema,
    example: &'static str,
) -> Parameter {
    Parameter { name, place: Place::Query, description, schema, example }
}

// === schemas ===

pub(super) fn agent_id(_: &mut Components) -> Value {
    json!({"type": "string", "pattern": ID_PATTERN, "maxLength": MAX_ID})
}

fn format(_: &mut Components) -> Value {
    json!({"type": "string", "enum": Format::ALL.map(Format::as_str)})
}

fn text(_: &mut Components) -> Value {
    json!({"type": "string"})
}

fn texts(_: &mut Components) -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn flag(_: &mut Components) -> Value {
    json!({"type": "boolean"})
}

fn revision(_: &mut Components) -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn limit(_: &mut Components) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT})
}

fn statuses(components: &mut Components) -> Value {
    let any = json!({"type": "string", "const": "any", "description": "Every status."});
    json!({"type": "array", "items": {"anyOf": [components.input::<Status>(), any]}})
}

fn stability(components: &mut Components) -> Value {
    components.input::<Stability>()
}

fn version(components: &mut Components) -> Value {
    components.input::<VersionConstraint>()
}

fn selector(components: &mut Components) -> Value {
    components.input::<Selector>()
}
