//! What the registry says can be called, as tools: one for each capability, however many agents offer it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_api::capability::{Capability, Stability, ToolHints};
use mesh_api::health::Status;
use mesh_api::page::CapabilityRow;
use mesh_mcp::front::listing::ListedTool;
use mesh_mcp::param_header::{self, ParamHeader};
use semver::{BuildMetadata, Version};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::naming::tool_name;

/// Largest entry of a list of tools, in bytes: what is larger fills the memory of whoever lists it.
const MAX_ENTRY: usize = 64 * 1024;

/// What one answer of the registry offers.
#[derive(Debug, Default)]
pub struct Stock {
    /// By namespace and capability.
    pub tools: BTreeMap<(String, String), Arc<Tool>>,
    /// The tag of the answer.
    pub tag: Option<String>,
    /// The newest change in it.
    pub resource_version: u64,
    /// Whether the registry had just started empty, and had not heard everybody yet.
    pub is_cold: bool,
}

/// For whom the tools are.
#[derive(Debug, Clone, Default)]
pub struct Ours {
    /// The namespace whose capabilities have plain names.
    pub namespace: String,
    /// The id of our agent, which is never called through the mesh.
    pub id: Option<String>,
}

/// A capability as a tool.
#[derive(Debug)]
pub struct Tool {
    /// As it is listed.
    pub listed: ListedTool,
    /// The capability.
    pub capability: String,
    /// Its namespace.
    pub namespace: String,
    /// Versions that take the same arguments as the one that is listed.
    pub versions: String,
    /// Parameters that clients of the current revision repeat in headers.
    pub params: Vec<ParamHeader>,
}

/// The entry of a list of tools.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'c> {
    name: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'c str>,
    input_schema: &'c Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<&'c Map<String, Value>>,
    #[serde(skip_serializing_if = "ToolHints::is_empty")]
    annotations: &'c ToolHints,
    #[serde(rename = "_meta")]
    meta: Meta<'c>,
}

#[derive(Serialize)]
struct Meta<'c> {
    #[serde(rename = "dev.mcp-mesh/capability")]
    capability: About<'c>,
}

/// What a tool says of the capability that it stands for.
#[derive(Serialize)]
struct About<'c> {
    name: &'c str,
    namespace: &'c str,
    version: &'c Version,
    stability: Stability,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'c str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: &'c Vec<String>,
}

/// What an entry says that is needed to call the tool.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    name: String,
    input_schema: Map<String, Value>,
    #[serde(rename = "_meta")]
    meta: SaidMeta,
}

#[derive(Deserialize)]
struct SaidMeta {
    #[serde(rename = "dev.mcp-mesh/capability")]
    capability: SaidAbout,
}

#[derive(Deserialize)]
struct SaidAbout {
    name: String,
    namespace: String,
    version: Version,
}

// === impl Stock ===

impl Stock {
    /// What `rows` offer to our agent. Of several versions the newest one is listed; who is about to be forgotten offers
    /// nothing any more, and neither does our agent itself.
    pub fn of(rows: &[CapabilityRow], ours: &Ours) -> Self {
        let mut best: BTreeMap<(&str, &str), &CapabilityRow> = BTreeMap::new();
        let offers = |row: &&CapabilityRow| {
            let is_there = !matches!(row.agent_status, Status::Expired | Status::Offline);
            is_there && ours.id.as_ref() != Some(&row.agent_id)
        };
        for row in rows.iter().filter(offers) {
            let kept = best.entry((&row.agent_namespace, &row.capability.name)).or_insert(row);
            if rank(row) > rank(kept) {
                *kept = row;
            }
        }
        let mut warned = BTreeSet::new();
        for row in rows.iter().filter(offers) {
            let key = (&*row.agent_namespace, &*row.capability.name);
            if let Some(listed) = best.get(&key)
                && conflicts(row, listed)
                && warned.insert(key)
            {
                warn_of_conflict(row, listed);
            }
        }
        let tools = best.into_values().filter_map(|row| {
            let tool = Tool::of(row, &ours.namespace)?;
            Some(((row.agent_namespace.clone(), row.capability.name.clone()), Arc::new(tool)))
        });
        Self { tools: tools.collect(), ..Self::default() }
    }

    /// What was offered before, from the entries of its list.
    pub fn restored(entries: Vec<Box<RawValue>>, ours: &Ours) -> Self {
        let tools = entries.into_iter().filter_map(|entry| {
            let tool = Tool::restored(entry, &ours.namespace)?;
            Some(((tool.namespace.clone(), tool.capability.clone()), Arc::new(tool)))
        });
        Self { tools: tools.collect(), ..Self::default() }
    }

    /// Adds what `held` knew: a registry that has just started has not heard everybody yet.
    pub fn add_unheard(&mut self, held: &Self) {
        for (key, tool) in &held.tools {
            self.tools.entry(key.clone()).or_insert_with(|| Arc::clone(tool));
        }
    }
}

/// Agents that offer one capability in one version must agree on what it takes: one schema is listed, and calls go to all.
fn warn_of_conflict(row: &CapabilityRow, listed: &CapabilityRow) {
    tracing::warn!(
        capability = row.capability.name,
        version = %row.capability.version,
        agent.id = row.agent_id,
        listed = listed.agent_id,
        "agents offer one capability in one version with different schemas, of which one is listed: give it another name \
         or version at some of them"
    );
}

fn conflicts(row: &CapabilityRow, listed: &CapabilityRow) -> bool {
    let [one, other] = [row, listed].map(|row| &row.capability);
    one.version == other.version && one.input_schema != other.input_schema
}

/// Which of several rows of one capability is listed: the newest release, before any version that is none yet; of equals
/// the one with the lowest id, so that everybody lists the same.
fn rank(row: &CapabilityRow) -> (bool, &Version, std::cmp::Reverse<&str>) {
    let version = &row.capability.version;
    (version.pre.is_empty(), version, std::cmp::Reverse(&row.agent_id))
}

// === impl Tool ===

impl Tool {
    /// None when it cannot be listed.
    fn of(row: &CapabilityRow, own: &str) -> Option<Self> {
        let capability = &row.capability;
        match Self::read(row, own) {
            Ok(tool) => Some(tool),
            Err(reason) => {
                tracing::warn!(
                    capability = capability.name,
                    agent.id = row.agent_id,
                    reason,
                    "a tool is not offered"
                );
                None
            }
        }
    }

    fn read(row: &CapabilityRow, own: &str) -> Result<Self, String> {
        let (capability, namespace) = (&row.capability, &row.agent_namespace);
        let name = tool_name(namespace, &capability.name, own);
        let entry =
            to_raw_value(&Entry::of(&name, capability, namespace)).map_err(|fault| fault.to_string())?;
        if entry.get().len() > MAX_ENTRY {
            return Err(format!("it takes {} bytes to list it, {MAX_ENTRY} is the most", entry.get().len()));
        }
        let params = capability.input_schema.as_ref().map(param_header::of_schema).transpose()?;
        Ok(Self {
            listed: ListedTool { name, entry },
            capability: capability.name.clone(),
            namespace: namespace.clone(),
            versions: like(&capability.version),
            params: params.unwrap_or_default(),
        })
    }

    /// A tool from its entry; `None` when it is none that we would list.
    fn restored(entry: Box<RawValue>, own: &str) -> Option<Self> {
        let said: Said = serde_json::from_str(entry.get()).ok()?;
        let SaidAbout { name: capability, namespace, version } = said.meta.capability;
        let name = tool_name(&namespace, &capability, own);
        let params = param_header::of_schema(&said.input_schema).ok()?;
        let (listed, versions) = (ListedTool { name, entry }, like(&version));
        (said.name == listed.name).then_some(Self { listed, capability, namespace, versions, params })
    }
}

impl<'c> Entry<'c> {
    fn of(name: &'c str, capability: &'c Capability, namespace: &'c str) -> Self {
        Self {
            name,
            title: capability.annotations.title.as_deref(),
            description: capability.description.as_deref(),
            // Clients refuse a list with a schema in it that is not of an object.
            input_schema: capability
                .input_schema
                .as_ref()
                .filter(|schema| is_of_object(schema))
                .unwrap_or(&ANYTHING),
            output_schema: capability.output_schema.as_ref().filter(|schema| is_of_object(schema)),
            annotations: &capability.annotations,
            meta: Meta {
                capability: About {
                    name: &capability.name,
                    namespace,
                    version: &capability.version,
                    stability: capability.stability,
                    category: capability.category.as_deref(),
                    tags: &capability.tags,
                },
            },
        }
    }
}

/// The schema of arguments of which nothing is known.
static ANYTHING: std::sync::LazyLock<Map<String, Value>> =
    std::sync::LazyLock::new(|| Map::from_iter([("type".to_owned(), json!("object"))]));

fn is_of_object(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

/// Versions that take the same arguments as `version` does.
fn like(version: &Version) -> String {
    match version {
        Version { pre, .. } if !pre.is_empty() => {
            format!("={}", Version { build: BuildMetadata::EMPTY, ..version.clone() })
        }
        Version { major: 0, minor, .. } => format!("~0.{minor}"),
        Version { major, .. } => format!("^{major}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock(rows: &[CapabilityRow]) -> Stock {
        Stock::of(rows, &Ours { namespace: "prod".to_owned(), id: Some("own".to_owned()) })
    }

    fn row(agent: &str, namespace: &str, mut capability: Value, status: &str) -> CapabilityRow {
        let mut row = json!({"agent_id": agent, "agent_name": agent, "agent_namespace": namespace,
            "agent_status": status, "agent_endpoint": "http://10.0.0.1/mcp", "agent_labels": {}, "agent_weight": 1.0,
            "version": "1.0.0", "tags": [], "stability": "stable", "description": null, "category": null});
        row.as_object_mut().unwrap().append(capability.as_object_mut().unwrap());
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn one_tool_stands_for_all_who_offer_it_and_shows_the_newest() {
        let version = |version: &str| json!({"name": "sum", "version": version});
        let rows = [
            row("a", "prod", version("1.2.0"), "healthy"),
            row("b", "prod", version("2.0.0-rc.1"), "healthy"),
            row("c", "prod", version("1.10.0"), "degraded"),
            row("d", "test", version("0.3.1"), "pending"),
            row("e", "prod", version("3.0.0"), "expired"),
            row("own", "prod", version("4.0.0"), "healthy"),
        ];
        let stock = stock(&rows);
        let tools: Vec<_> =
            stock.tools.values().map(|tool| (tool.listed.name.as_str(), tool.versions.as_str())).collect();
        assert_eq!(tools, [("sum", "^1"), ("test__sum", "~0.3")]);
        assert!(stock.tools.values().next().unwrap().listed.entry.get().contains(r#""version":"1.10.0""#));
    }

    #[test]
    fn one_version_has_one_schema_or_somebody_is_told() {
        let row = |version: &str, key: &str| {
            let schema = json!({"type": "object", "required": [key]});
            row("a", "prod", json!({"name": "sum", "version": version, "input_schema": schema}), "healthy")
        };
        assert!(conflicts(&row("1.0.0", "a"), &row("1.0.0", "b")));
        assert!(
            !conflicts(&row("1.0.0", "a"), &row("1.0.0", "a"))
                && !conflicts(&row("1.0.0", "a"), &row("1.1.0", "b"))
        );
    }

    #[test]
    fn an_entry_says_what_the_registration_says() {
        let capability = json!({"name": "sum", "description": "Adds.", "tags": ["math"], "category": "numbers",
            "input_schema": {"type": "object", "required": ["a"]}, "output_schema": {"type": "array"},
            "annotations": {"title": "Sum", "readOnlyHint": true}});
        let stock = stock(&[row("a", "prod", capability, "healthy")]);
        let entry: Value =
            serde_json::from_str(stock.tools.values().next().unwrap().listed.entry.get()).unwrap();
        let about = json!({"name": "sum", "namespace": "prod", "version": "1.0.0", "stability": "stable",
            "category": "numbers", "tags": ["math"]});
        assert_eq!(
            entry,
            json!({"name": "sum", "title": "Sum", "description": "Adds.",
            "inputSchema": {"type": "object", "required": ["a"]},
            "annotations": {"title": "Sum", "readOnlyHint": true},
            "_meta": {"dev.mcp-mesh/capability": about}})
        );
    }

    #[test]
    fn a_schema_that_would_break_clients_is_not_listed() {
        let stock = |schema: Value| {
            stock(&[row("a", "prod", json!({"name": "sum", "input_schema": schema}), "healthy")])
        };
        let entry = stock(json!({"anyOf": []})).tools.into_values().next().unwrap();
        assert!(entry.listed.entry.get().contains(r#""inputSchema":{"type":"object"}"#));
        assert!(stock(json!({"type": "object", "x": "y".repeat(MAX_ENTRY)})).tools.is_empty());
        let bad = json!({"type": "object", "properties": {"n": {"type": "number", "x-mcp-header": "N"}}});
        assert!(stock(bad).tools.is_empty());
    }

    #[test]
    fn a_list_that_was_kept_is_the_same_list() {
        let schema =
            json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        let rows = [
            row("a", "prod", json!({"name": "sum", "version": "2.1.0", "input_schema": schema}), "healthy"),
            row("b", "test", json!({"name": "sum", "version": "0.3.1"}), "healthy"),
        ];
        let before = stock(&rows);
        let entries =
            |stock: &Stock| stock.tools.values().map(|tool| tool.listed.entry.clone()).collect::<Vec<_>>();
        let ours = |namespace: &str| Ours { namespace: namespace.to_owned(), id: None };
        let after = Stock::restored(entries(&before), &ours("prod"));
        let shown = |stock: &Stock| format!("{:?}", stock.tools);
        assert_eq!(shown(&before), shown(&after));
        // Of an agent of another namespace the tools have other names.
        assert!(Stock::restored(entries(&before), &ours("test")).tools.is_empty());
        let rubbish = serde_json::from_str(r#"{"name":"sum"}"#).unwrap();
        assert!(Stock::restored(vec![rubbish], &ours("prod")).tools.is_empty());
    }

    #[test]
    fn versions_that_are_alike_take_the_same_arguments() {
        let like = |version: &str| like(&version.parse().unwrap());
        assert_eq!([like("2.3.4"), like("0.4.1"), like("1.0.0-rc.1+5")], ["^2", "~0.4", "=1.0.0-rc.1"]);
    }
}
