//! What the registry is asked about whom a call can go to: who offers a capability, or where one agent is.
//!
//! Parser and printer: the printed form is what logs say and what the copy on the disk keeps.

use std::fmt;
use std::str::FromStr;

use mesh_api::agent::Agent;
use mesh_api::capability::{Capability, Stability, ToolHints};
use mesh_api::error::Fault;
use mesh_api::page::CapabilityRow;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use mesh_api::route;
use semver::Version;

/// Stands for all that an agent can do, where the name of a capability stands otherwise. No capability has such a name.
const EVERYTHING: &str = "*";

/// A question to the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Who offers a capability?
    Capability(CapabilityQuery),
    /// Where is an agent?
    Agent(AgentQuery),
}

// === impl Question ===

impl Question {
    /// The question for a capability, if it is one.
    pub fn capability(&self) -> Option<&CapabilityQuery> {
        match self {
            Self::Capability(query) => Some(query),
            Self::Agent(_) => None,
        }
    }

    /// Its conditions, for people.
    pub fn conditions(&self) -> String {
        let (namespace, capability, labels) = match self {
            Self::Capability(query) => (&query.agent_namespace, &query.capability, &query.label_selector),
            Self::Agent(query) => (&query.namespace, &query.capability, &query.label_selector),
        };
        let namespace = namespace.as_ref();
        let namespace = namespace
            .map(|namespace| format!("in namespace '{namespace}' (add ?namespace=* to look everywhere)"));
        let version = capability.version.as_ref().map(|version| format!("in version {version}"));
        let labels = labels.as_ref().map(|selector| format!("with labels {selector}"));
        let parts: Vec<_> = [namespace, version, labels].into_iter().flatten().collect();
        if parts.is_empty() { "in any namespace".to_owned() } else { parts.join(" ") }
    }
}

impl From<CapabilityQuery> for Question {
    fn from(query: CapabilityQuery) -> Self {
        Self::Capability(query)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(query) => query.fmt(f),
            Self::Agent(query) => write!(f, "{}?{query}", route::AGENTS),
        }
    }
}

impl FromStr for Question {
    type Err = Vec<Fault>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(route::AGENTS).and_then(|rest| rest.strip_prefix('?')) {
            Some(query) => AgentQuery::parse(query).map(Self::Agent),
            None => CapabilityQuery::parse(text).map(Self::Capability),
        }
    }
}

/// An agent as the row of an answer: one that offers everything that it can do.
pub fn row_of(agent: Agent) -> CapabilityRow {
    let Agent { registration, status, .. } = agent;
    CapabilityRow {
        capability: Capability {
            name: EVERYTHING.to_owned(),
            version: Version::new(0, 0, 0),
            description: None,
            category: None,
            tags: Vec::new(),
            stability: Stability::default(),
            input_schema: None,
            output_schema: None,
            annotations: ToolHints::default(),
            compatibility_versions: Vec::new(),
        },
        agent_id: registration.id,
        agent_name: registration.name,
        agent_namespace: registration.namespace,
        agent_status: status,
        agent_endpoint: registration.endpoint,
        agent_labels: registration.labels,
        agent_weight: registration.weight,
        score: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_printed_is_read_again(name in "[a-z]{1,5}", namespace in "[a-z]{0,3}", is_agent in any::<bool>()) {
            let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
            let question = if is_agent {
                Question::Agent(AgentQuery { id: Some(name), namespace, ..AgentQuery::default() })
            } else {
                let mut query = CapabilityQuery { agent_namespace: namespace, ..CapabilityQuery::default() };
                query.capability.name = Some(name);
                Question::Capability(query)
            };
            prop_assert_eq!(question.to_string().parse(), Ok(question));
        }
    }
}
