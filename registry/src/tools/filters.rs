//! The filters of the two discovery tools: what models are told about them, and how they become a query string.

use form_urlencoded::Serializer;
use mesh_api::capability::Stability;
use mesh_api::document::{cut, kind};
use mesh_api::error::Fault;
use mesh_api::health::Status;
use mesh_api::query::Paging;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Number, Value};

/// Rows that a model gets when it does not say how many: a page that it can read.
const MODEL_ROWS: usize = 100;
/// Most rows that a model gets. The rest comes page by page, and most often a better filter is what is wanted.
const MOST_MODEL_ROWS: usize = 500;

/// Who reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A program, which takes whole lists.
    Program,
    /// A model, into whose context ten thousand agents do not fit.
    Model,
}

/// The filters of `discover_services`. Each one narrows the answer; without any, every agent is found.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = all_optional)]
#[expect(dead_code, reason = "only its schema is used: the parser is that of the route")]
pub(super) struct AgentFilters {
    /// Exact id of one agent.
    id: Option<String>,
    /// Exact name of an agent, or a rough one with `fuzzy_match`.
    name: Option<String>,
    /// Exact namespace, such as `production`.
    namespace: Option<String>,
    /// Exact type, such as `worker`.
    agent_type: Option<String>,
    /// Health, any of these. Only `healthy` agents can be counted on.
    status: Option<Vec<Status>>,
    /// Name of a capability that the agent must offer, such as `process_data`; a rough one with `fuzzy_match`.
    capability: Option<String>,
    /// Category that this capability must have.
    capability_category: Option<String>,
    /// Stability that this capability must have.
    capability_stability: Option<Stability>,
    /// Tags that this capability must have, all of them; any of them with `fuzzy_match`.
    capability_tags: Option<Vec<String>>,
    /// Versions of this capability that will do: `>=1.2, <2`, `^1.2.0`, `~1.2`, or `1.2.3` for exactly that one.
    version_constraint: Option<String>,
    /// Labels of the agent, in the grammar of Kubernetes: `env=production,zone in (a,b),!canary`.
    label_selector: Option<String>,
    /// Whether names, tags and categories may be misspelt or partial; answers then carry a `score` and are ranked.
    #[schemars(default)]
    fuzzy_match: bool,
    /// Most agents in the answer.
    #[schemars(schema_with = "limit")]
    limit: usize,
    /// The `continue` of the answer before, for the next page. The filters must be the same.
    r#continue: Option<String>,
}

/// The filters of `list_capabilities`. Each one narrows the answer; without any, what healthy agents offer is found.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = all_optional)]
#[expect(dead_code, reason = "only its schema is used: the parser is that of the route")]
pub(super) struct CapabilityFilters {
    /// Exact name, such as `process_data`; a rough one with `fuzzy_match`.
    name: Option<String>,
    /// Exact category.
    category: Option<String>,
    /// Tags, all of them; any of them with `fuzzy_match`.
    tags: Option<Vec<String>>,
    /// How much callers may rely on it.
    stability: Option<Stability>,
    /// Versions that will do: `>=1.2, <2`, `^1.2.0`, `~1.2`, or `1.2.3` for exactly that one.
    version_constraint: Option<String>,
    /// Text that the description must contain, in any case.
    description_contains: Option<String>,
    /// Whether deprecated capabilities are wanted too.
    #[schemars(default)]
    include_deprecated: bool,
    /// Exact id of the agent that offers it.
    agent_id: Option<String>,
    /// Exact namespace of the agent that offers it.
    agent_namespace: Option<String>,
    /// Health of the agent that offers it, any of these; `any` for all.
    #[schemars(schema_with = "statuses_or_any")]
    agent_status: Vec<Status>,
    /// Labels of the agent that offers it, in the grammar of Kubernetes: `env=production,zone in (a,b),!canary`.
    label_selector: Option<String>,
    /// Whether names, tags and categories may be misspelt or partial; answers then carry a `score` and are ranked.
    #[schemars(default)]
    fuzzy_match: bool,
    /// Most capabilities in the answer.
    #[schemars(schema_with = "limit")]
    limit: usize,
    /// The `continue` of the answer before, for the next page. The filters must be the same.
    r#continue: Option<String>,
}

fn all_optional(schema: &mut Schema) {
    schema.remove("required");
}

fn limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 1, "maximum": MOST_MODEL_ROWS, "default": MODEL_ROWS})
}

fn statuses_or_any(_: &mut SchemaGenerator) -> Schema {
    let words = Status::ALL.map(Status::as_str).into_iter().chain(["any"]).collect::<Vec<_>>();
    json_schema!({
        "type": "array", "items": {"type": "string", "enum": words}, "default": [Status::Healthy.as_str()]
    })
}

// === impl Reader ===

impl Reader {
    /// Limits what a query returns to what its reader can take.
    pub(super) fn limit(self, paging: &mut Paging) -> Result<(), Vec<Fault>> {
        if self == Self::Program {
            return Ok(());
        }
        let limit = *paging.limit.get_or_insert(MODEL_ROWS);
        let fault = || {
            let rule = "must be a whole number from 1 to";
            vec![Fault::new(
                "limit",
                format!("{rule} {MOST_MODEL_ROWS}, got {limit}; 'continue' brings the rest"),
            )]
        };
        if limit > MOST_MODEL_ROWS { Err(fault()) } else { Ok(()) }
    }
}

/// Writes filters given as JSON keys as the query string that the route takes.
pub(super) fn query_string(arguments: &Value) -> Result<String, Vec<Fault>> {
    let Value::Object(object) = arguments else {
        return Err(vec![Fault::new("", format!("arguments must be an object, got {}", kind(arguments)))]);
    };
    let mut query = Serializer::new(String::new());
    let mut faults = Vec::new();
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        match text(value) {
            Some(text) => drop(query.append_pair(key, &text)),
            None => faults.push(Fault::new(
                cut(key),
                format!("must be a text or a list of texts, got {}", kind(value)),
            )),
        }
    }
    if faults.is_empty() { Ok(query.finish()) } else { Err(faults) }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) => Some(value.to_string()),
        Value::Number(number) => {
            Some(whole(number).map_or_else(|| number.to_string(), |whole| whole.to_string()))
        }
        Value::Array(items) => {
            items.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// A whole number that is written `5.0`: to JSON Schema it is one too, so clients that go by the schema may send it.
fn whole(number: &Number) -> Option<i64> {
    /// The largest number up to which a float is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT)?;
    Some(number as i64)
}

#[cfg(test)]
mod tests {
    use mesh_api::query::{AgentQuery, CapabilityQuery};
    use mesh_api::schema::of_input;
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn filters_as_json_mean_what_they_mean_in_a_query_string() {
        let arguments = json!({
            "namespace": "production", "capability_tags": ["b", "a"], "fuzzy_match": true, "limit": 5.0,
            "version_constraint": ">=1.0.0,<2.0.0", "status": null
        });
        let query = AgentQuery::parse(&query_string(&arguments).unwrap()).unwrap();
        assert_eq!((query.namespace.as_deref(), query.fuzzy_match), (Some("production"), true));
        assert_eq!(
            (query.capability.tags, query.paging.limit),
            (vec!["a".to_owned(), "b".to_owned()], Some(5))
        );
    }

    #[test]
    fn a_filter_that_is_no_text_is_a_fault() {
        let faults = query_string(&json!({"name": {"a": 1}, "tags": [1]})).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    /// Arguments that use every key of a schema.
    fn every_key(schema: &Value) -> Value {
        let properties = schema["properties"].as_object().unwrap();
        let value = |key: &str| match key {
            "status" | "agent_status" => json!(["healthy"]),
            "capability_stability" | "stability" => json!("stable"),
            "version_constraint" => json!("^1"),
            "label_selector" => json!("a=b"),
            "fuzzy_match" | "include_deprecated" => json!(true),
            "limit" => json!(7),
            _ => json!("x"),
        };
        Value::Object(properties.keys().map(|key| (key.clone(), value(key))).collect::<Map<_, _>>())
    }

    #[test]
    fn every_filter_that_models_are_told_about_is_one_and_none_is_kept_from_them() {
        let query = query_string(&every_key(&of_input::<AgentFilters>())).unwrap();
        let parsed = AgentQuery::parse(&query).unwrap();
        assert_eq!(parsed.to_string().split('&').count(), query.split('&').count(), "{query}");
        let query = query_string(&every_key(&of_input::<CapabilityFilters>())).unwrap();
        let parsed = CapabilityQuery::parse(&query).unwrap();
        assert_eq!(parsed.to_string().split('&').count(), query.split('&').count(), "{query}");
        // A key that the parser has and the schema has not would be named here.
        for fault in [AgentQuery::parse("?=1").unwrap_err(), CapabilityQuery::parse("?=1").unwrap_err()] {
            let fault = fault[0].to_string();
            let known = fault.split_once("known are ").unwrap().1.split(", ");
            let short = ["category", "stability", "tags", "namespace", "status"];
            // How a program reads a list; a model reads it once.
            let reading = ["min_resource_version", "watch", "resource_version"];
            let schemas =
                of_input::<AgentFilters>().to_string() + &of_input::<CapabilityFilters>().to_string();
            for key in known.filter(|key| !short.contains(key) && !reading.contains(key)) {
                assert!(schemas.contains(&format!("\"{key}\":")), "{key}");
            }
        }
    }

    #[test]
    fn a_model_gets_a_page_that_it_can_read() {
        let limited = |reader: Reader, limit| {
            let mut paging = Paging { limit, continue_token: None };
            reader.limit(&mut paging).map(|()| paging.limit)
        };
        assert_eq!(limited(Reader::Model, None), Ok(Some(100)));
        assert_eq!(limited(Reader::Model, Some(500)), Ok(Some(500)));
        assert!(limited(Reader::Model, Some(501)).unwrap_err()[0].to_string().contains("1 to 500, got 501"));
        assert_eq!(limited(Reader::Program, None), Ok(None));
        assert_eq!(limited(Reader::Program, Some(10_000)), Ok(Some(10_000)));
    }
}
