//! Two tools that stand for all when there are too many to list: one finds tools, the other calls any of them.

use std::sync::LazyLock;

use mesh_api::page::CapabilityPage;
use mesh_api::query::CapabilityQuery;
use mesh_api::route;
use mesh_mcp::front::listing::ListedTool;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::naming::{CALL, SEARCH, tool_name};
use crate::stock::Tool;

/// Tools that one search finds, unless it says otherwise, and at most.
const FOUND: (usize, usize) = (10, 50);
/// Rows that the registry is asked for: a tool that many agents have is in many of them.
const ROWS: usize = 1_000;

/// The arguments of a search.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Words that say what the tool should do.
    query: String,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// How many tools to find.
    #[serde(default = "usual_limit")]
    pub limit: usize,
}

/// The arguments of a call of any tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnyCall<'a> {
    /// The tool.
    pub name: String,
    /// Its arguments.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Found<'t> {
    tools: Vec<&'t RawValue>,
}

// === impl Search ===

impl Search {
    /// Reads the arguments of a search.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(arguments: &RawValue) -> Result<Self, String> {
        let search: Self = serde_json::from_str(arguments.get())
            .map_err(|fault| format!("the arguments do not fit {SEARCH}: {fault}"))?;
        match search {
            Self { limit: 1.., ref query, .. } if !query.trim().is_empty() => {
                Ok(Self { limit: search.limit.min(FOUND.1), ..search })
            }
            _ => Err("'query' must have words in it, and 'limit' must be 1 or more".to_owned()),
        }
    }

    /// What the registry is asked.
    pub fn target(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("name", &self.query).append_pair("fuzzy_match", "true");
        query.append_pair("agent_status", "any").append_pair("limit", &ROWS.to_string());
        query.extend_pairs(self.category.iter().map(|category| ("category", category)));
        if !self.tags.is_empty() {
            query.append_pair("tags", &self.tags.join(","));
        }
        let query = query.finish();
        // In the form in which the registry's own questions are written, so that alike ones are asked once.
        let query = CapabilityQuery::parse(&query).map_or(query, |query| query.to_string());
        format!("{}?{query}", route::CAPABILITIES)
    }

    /// The names of the tools in the registry's answer, best first, for an agent of the namespace `own`.
    pub fn names(&self, page: &[u8], own: &str) -> Vec<String> {
        let rows = serde_json::from_slice::<CapabilityPage>(page).map(|page| page.capabilities);
        let rows = rows.unwrap_or_default().into_iter();
        rows.map(|row| tool_name(&row.agent_namespace, &row.capability.name, own)).collect()
    }
}

/// What a search answers: tools as `tools/list` shows them.
pub fn found(tools: &[std::sync::Arc<Tool>]) -> Vec<u8> {
    let found = Found { tools: tools.iter().map(|tool| &*tool.listed.entry).collect() };
    // Writing raw JSON into memory has no way to fail.
    serde_json::to_vec(&found).unwrap_or_default()
}

/// How both are listed.
pub fn listed() -> Vec<ListedTool> {
    static LISTED: LazyLock<Vec<ListedTool>> = LazyLock::new(|| {
        let tool = |(name, entry): (&str, Value)| {
            Some(ListedTool { name: name.to_owned(), entry: to_raw_value(&entry).ok()? })
        };
        [(SEARCH, search_entry()), (CALL, call_entry())].into_iter().filter_map(tool).collect()
    });
    LISTED.clone()
}

fn search_entry() -> Value {
    let word = json!({"type": "string"});
    json!({
        "name": SEARCH,
        "title": "Find tools",
        "description": "Finds tools of the mesh that are not listed here, by what they do. Answers with their names, \
            descriptions and schemas; call one of them by its name, or with mesh__call_tool.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "description": "Words that say what the tool should do"},
                "category": {"type": "string", "description": "Only tools of this category"},
                "tags": {"type": "array", "items": word, "description": "Only tools with all of these tags"},
                "limit": {"type": "integer", "minimum": 1, "maximum": FOUND.1, "default": FOUND.0},
            },
            "required": ["query"],
            "additionalProperties": false,
        },
        "outputSchema": {
            "type": "object",
            "properties": {"tools": {"type": "array", "items": {"type": "object"}}},
            "required": ["tools"],
        },
        "annotations": {"title": "Find tools", "readOnlyHint": true, "openWorldHint": false},
    })
}

fn call_entry() -> Value {
    json!({
        "name": CALL,
        "title": "Call a tool",
        "description": "Calls any tool of the mesh by the name that mesh__search_tools found. Answers as that tool does.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "Name of the tool"},
                "arguments": {"type": "object", "description": "Its arguments, as its inputSchema says"},
            },
            "required": ["name"],
            "additionalProperties": false,
        },
        "annotations": {"title": "Call a tool"},
    })
}

const fn usual_limit() -> usize {
    FOUND.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &Value) -> Result<Search, String> {
        Search::read(&to_raw_value(arguments).unwrap())
    }

    #[test]
    fn a_search_is_a_fuzzy_question_to_the_registry() {
        let search =
            read(&json!({"query": "make shorter & sum", "tags": ["nlp", "fast"], "limit": 500})).unwrap();
        let target = search.target();
        assert!(target.starts_with("/capabilities?") && target.contains("fuzzy_match=true"), "{target}");
        assert!(
            target.contains("make+shorter+%26+sum") || target.contains("make%20shorter%20%26%20sum"),
            "{target}"
        );
        assert_eq!(search.limit, 50);
        assert_eq!(search.names(b"no page", "prod"), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for bad in [
            json!({}),
            json!({"query": " "}),
            json!({"query": "x", "limit": 0}),
            json!({"query": "x", "q": 1}),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
