//! The registry's tools: names, what they say about themselves, and the service method behind each.
//!
//! `/mcp` offers them to MCP clients, `/mcp/tools/{tool}` as plain JSON; both answer what the REST route answers.

mod card;
mod filters;

use std::str::FromStr;

use bytes::Bytes;
use mesh_api::agent::{ID_RULE, is_id};
use mesh_api::document::{Fields, Findings, any, word};
use mesh_api::error::Fault;
use mesh_api::query::{AgentQuery, CapabilityQuery, Watch};
use serde::Serialize;
use serde_json::Value;

use self::card::Card;
pub use self::filters::Reader;
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

    /// What it says about itself, as MCP servers list a tool: title, description, schemas, hints.
    pub fn card(self) -> Value {
        let card = match self {
            Self::RegisterAgent => Card::register_agent(),
            Self::UnregisterAgent => Card::unregister_agent(),
            Self::DiscoverServices => Card::discover_services(),
            Self::Heartbeat => Card::heartbeat(),
            Self::GetAgentStatus => Card::get_agent_status(),
            Self::ListCapabilities => Card::list_capabilities(),
        };
        card.into_value(self.name())
    }

    /// Calls the tool; the answer is the JSON that the route of the same purpose answers.
    ///
    /// # Errors
    /// When the arguments have faults, or as the service method behind it.
    pub async fn call(
        self,
        registry: &Registry,
        arguments: &Value,
        reader: Reader,
    ) -> Result<Bytes, RegistryError> {
        match self {
            Self::RegisterAgent => {
                let document = argument(arguments, "registration_data", any)?;
                Ok(json(&registry.register(&document).await?))
            }
            Self::UnregisterAgent => Ok(json(&registry.unregister(&agent_id(arguments)?).await?)),
            Self::DiscoverServices => find_agents(registry, arguments, reader).await,
            Self::Heartbeat => {
                registry.expect(std::slice::from_ref(arguments)).await;
                Ok(json(&registry.heartbeat(arguments)?))
            }
            Self::GetAgentStatus => Ok(json(&registry.agent_health(&agent_id(arguments)?)?)),
            Self::ListCapabilities => find_capabilities(registry, arguments, reader).await,
        }
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

async fn find_agents(registry: &Registry, arguments: &Value, reader: Reader) -> Result<Bytes, RegistryError> {
    let query = filters::query_string(arguments).and_then(|query| AgentQuery::parse(&query));
    let mut query = query.map_err(RegistryError::InvalidQuery)?;
    reader.limit(&mut query.paging).map_err(RegistryError::InvalidQuery)?;
    refuse_waiting(query.watch, query.min_resource_version)?;
    Ok(registry.agents(&query, &query.to_string()).await?.bytes(Moment::now().wall))
}

async fn find_capabilities(
    registry: &Registry,
    arguments: &Value,
    reader: Reader,
) -> Result<Bytes, RegistryError> {
    let query = filters::query_string(arguments).and_then(|query| CapabilityQuery::parse(&query));
    let mut query = query.map_err(RegistryError::InvalidQuery)?;
    reader.limit(&mut query.paging).map_err(RegistryError::InvalidQuery)?;
    refuse_waiting(query.watch, query.min_resource_version)?;
    Ok(registry.capabilities(&query, &query.to_string()).await?.bytes(Moment::now().wall))
}

/// A tool answers once and at once.
fn refuse_waiting(watch: Option<Watch>, min: Option<u64>) -> Result<(), RegistryError> {
    const WATCH: &str = "is not for tools, which answer once: GET /agents?watch=true streams changes";
    const MIN: &str = "is not for tools, which answer at once: GET /agents and GET /capabilities wait for it";
    let watch = watch.map(|_| Fault::new("watch", WATCH));
    let faults = watch.into_iter().chain(min.map(|_| Fault::new("min_resource_version", MIN)));
    let faults = faults.collect::<Vec<_>>();
    if faults.is_empty() { Ok(()) } else { Err(RegistryError::InvalidQuery(faults)) }
}

/// The one place where an answer becomes bytes.
fn json(answer: &impl Serialize) -> Bytes {
    // Our answers have text for keys and nothing that is no JSON, so writing them into memory has no way to fail.
    serde_json::to_vec(answer).unwrap_or_default().into()
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

#[cfg(test)]
mod tests {
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
    fn every_tool_says_what_it_does_and_what_goes_in_and_out() {
        for card in Tool::ALL.map(Tool::card) {
            for text in ["name", "title", "description"] {
                assert!(card[text].as_str().is_some_and(|text| !text.is_empty()), "{text} of {card}");
            }
            for schema in ["inputSchema", "outputSchema"] {
                assert_eq!(card[schema]["type"], "object", "{schema} of {card}");
                assert!(card[schema]["properties"].is_object(), "{schema} of {card}");
            }
            let hints = card["annotations"].as_object().unwrap();
            assert!(hints.len() == 4 && hints.values().all(Value::is_boolean), "{card}");
        }
    }

    #[test]
    fn the_hints_tell_apart_what_only_looks_what_adds_and_what_overwrites() {
        let hinted = |hint: &str| {
            let tools = Tool::ALL.into_iter().filter(|tool| tool.card()["annotations"][hint] == true);
            tools.map(Tool::name).collect::<Vec<_>>()
        };
        assert_eq!(hinted("readOnlyHint"), ["discover_services", "get_agent_status", "list_capabilities"]);
        assert_eq!(hinted("destructiveHint"), ["register_agent", "unregister_agent"]);
        assert_eq!((hinted("idempotentHint").len(), hinted("openWorldHint").len()), (6, 0));
    }
}
