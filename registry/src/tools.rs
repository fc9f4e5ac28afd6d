//! The registry's tools: names, arguments, and the service method behind each.
//!
//! `/mcp/tools/{tool}` calls them as plain JSON; a native MCP endpoint offers the same table.

use std::str::FromStr;

use mesh_api::agent::{ID_RULE, Registered, Unregistered, is_id};
use mesh_api::document::{Fields, Findings, any, kind, word};
use mesh_api::error::Fault;
use mesh_api::health::AgentHealth;
use mesh_api::heartbeat::HeartbeatAnswer;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalog::listing::Listing;
use crate::error::RegistryError;
use crate::moment::Moment;
use crate::service::Registry;

/// A tool of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `{"registration_data": {…}}`, as `POST /agents`.
    RegisterAgent,
    /// `{"agent_id"}`, as `DELETE /agents/{id}`.
    UnregisterAgent,
    /// The filters of `GET /agents` as keys.
    DiscoverServices,
    /// As `POST /heartbeat` of one agent.
    Heartbeat,
    /// `{"agent_id"}`, as `GET /health/{id}`.
    GetAgentStatus,
    /// The filters of `GET /capabilities` as keys.
    ListCapabilities,
}

/// The answer of a tool: the same as that of its route.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant is named and documented as the type it holds")]
pub enum Answer {
    Registered(Registered),
    Unregistered(Unregistered),
    Listing(Box<RawValue>),
    Heartbeat(HeartbeatAnswer),
    Health(AgentHealth),
}

// === impl Tool ===

impl Tool {
    /// Every tool.
    pub const ALL: [Self; 6] = [
        Self::RegisterAgent,
        Self::UnregisterAgent,
        Self::DiscoverServices,
        Self::Heartbeat,
        Self::GetAgentStatus,
        Self::ListCapabilities,
    ];

    /// The name by which it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RegisterAgent => "register_agent",
            Self::UnregisterAgent => "unregister_agent",
            Self::DiscoverServices => "discover_services",
            Self::Heartbeat => "heartbeat",
            Self::GetAgentStatus => "get_agent_status",
            Self::ListCapabilities => "list_capabilities",
        }
    }

    /// Calls the tool.
    ///
    /// # Errors
    /// When the arguments have faults, or as the service method behind it.
    pub async fn call(self, registry: &Registry, arguments: &Value) -> Result<Answer, RegistryError> {
        Ok(match self {
            Self::RegisterAgent => {
                let document = argument(arguments, "registration_data", any)?;
                Answer::Registered(registry.register(&document).await?)
            }
            Self::UnregisterAgent => Answer::Unregistered(registry.unregister(&agent_id(arguments)?).await?),
            Self::DiscoverServices => {
                let query = filters(arguments).and_then(|query| AgentQuery::parse(&query));
                listed(registry.agents(&query.map_err(RegistryError::InvalidQuery)?).await?)
            }
            Self::Heartbeat => Answer::Heartbeat(registry.heartbeat(arguments)?),
            Self::GetAgentStatus => Answer::Health(registry.agent_health(&agent_id(arguments)?)?),
            Self::ListCapabilities => {
                let text = filters(arguments).map_err(RegistryError::InvalidQuery)?;
                let query = CapabilityQuery::parse(&text).map_err(RegistryError::InvalidQuery)?;
                listed(registry.capabilities(&query, &text).await?)
            }
        })
    }
}

impl FromStr for Tool {
    type Err = RegistryError;

    fn from_str(name: &str) -> Result<Self, RegistryError> {
        Self::ALL.into_iter().find(|tool| tool.name() == name).ok_or_else(|| RegistryError::UnknownTool {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

fn listed(listing: Listing) -> Answer {
    let json = String::from_utf8_lossy(&listing.bytes(Moment::now().wall)).into_owned();
    Answer::Listing(RawValue::from_string(json).unwrap_or_default())
}

fn agent_id(arguments: &Value) -> Result<String, RegistryError> {
    argument(arguments, "agent_id", word(ID_RULE, is_id))
}

/// Reads the one argument that a tool takes.
fn argument<T>(
    arguments: &Value,
    key: &'static str,
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> Result<T, RegistryError> {
    let mut findings = Findings::default();
    let value = Fields::open(arguments, "", &mut findings).and_then(|mut fields| fields.required(key, read));
    findings.conclude(value).map(|(value, _)| value).map_err(RegistryError::InvalidDocument)
}

/// Writes filters given as JSON keys as the query string that the route takes.
fn filters(arguments: &Value) -> Result<String, Vec<Fault>> {
    let Value::Object(object) = arguments else {
        return Err(vec![Fault::new("", format!("arguments must be an object, got {}", kind(arguments)))]);
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut faults = Vec::new();
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        match filter_text(value) {
            Some(text) => drop(query.append_pair(key, &text)),
            None => faults
                .push(Fault::new(key, format!("must be a text or a list of texts, got {}", kind(value)))),
        }
    }
    if faults.is_empty() { Ok(query.finish()) } else { Err(faults) }
}

fn filter_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            items.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_tool_is_found_by_its_name() {
        for tool in Tool::ALL {
            assert_eq!(tool.name().parse::<Tool>().unwrap(), tool);
        }
        let fault = "register".parse::<Tool>().unwrap_err().to_string();
        assert!(Tool::ALL.iter().all(|tool| fault.contains(tool.name())), "{fault}");
    }

    #[test]
    fn filters_as_json_mean_what_they_mean_in_a_query_string() {
        let arguments = json!({
            "namespace": "production", "capability_tags": ["b", "a"], "fuzzy_match": true, "limit": 5,
            "version_constraint": ">=1.0.0,<2.0.0", "status": null
        });
        let query = AgentQuery::parse(&filters(&arguments).unwrap()).unwrap();
        assert_eq!((query.namespace.as_deref(), query.fuzzy_match), (Some("production"), true));
        assert_eq!(
            (query.capability.tags, query.paging.limit),
            (vec!["a".to_owned(), "b".to_owned()], Some(5))
        );
    }

    #[test]
    fn a_filter_that_is_no_text_is_a_fault() {
        let faults = filters(&json!({"name": {"a": 1}, "tags": [1]})).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
