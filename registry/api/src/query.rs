//! The query strings of the two discovery routes: parser and printer.
//!
//! The registry answers them; the sidecar uses the printed form as the key of its cache. A parameter that nothing
//! reads is a fault, because a filter that is silently ignored returns the wrong agents.

mod parameters;

use std::fmt;

use self::parameters::{ANY, Parameters, Printer};
use crate::capability::CapabilityFilter;
use crate::document::quoted;
use crate::error::Fault;
use crate::health::Status;
use crate::selector::Selector;

/// Most rows of one page.
pub const MAX_LIMIT: usize = 10_000;

/// The filters of `GET /agents`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AgentQuery {
    /// Exact id.
    pub id: Option<String>,
    /// Exact name, or a fuzzy one.
    pub name: Option<String>,
    /// Exact namespace.
    pub namespace: Option<String>,
    /// Exact type.
    pub agent_type: Option<String>,
    /// Any of these; every status when empty.
    pub status: Vec<Status>,
    /// What one of the agent's capabilities must be like.
    pub capability: CapabilityFilter,
    /// Labels of the agent.
    pub label_selector: Option<Selector>,
    /// Rank by likeness instead of demanding equality.
    pub fuzzy_match: bool,
    /// Which part of the answer is wanted.
    pub paging: Paging,
    /// The answer must take this change into account.
    pub min_resource_version: Option<u64>,
    /// Changes are wanted instead of an answer.
    pub watch: Option<Watch>,
}

/// The filters of `GET /capabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CapabilityQuery {
    /// What the capability must be like.
    pub capability: CapabilityFilter,
    /// Text that the description must contain, in any case.
    pub description_contains: Option<String>,
    /// Whether deprecated capabilities are wanted too.
    pub include_deprecated: bool,
    /// Exact id of the agent.
    pub agent_id: Option<String>,
    /// Exact namespace of the agent.
    pub agent_namespace: Option<String>,
    /// Any of these; every status when empty.
    pub agent_status: Vec<Status>,
    /// Labels of the agent.
    pub label_selector: Option<Selector>,
    /// Rank by likeness instead of demanding equality.
    pub fuzzy_match: bool,
    /// Which part of the answer is wanted.
    pub paging: Paging,
    /// The answer must take this change into account.
    pub min_resource_version: Option<u64>,
    /// Changes are wanted instead of an answer.
    pub watch: Option<Watch>,
}

/// Which part of an answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Paging {
    /// Most rows of the page; all when absent.
    pub limit: Option<usize>,
    /// The `continue` of the page before.
    pub continue_token: Option<String>,
}

/// Changes are wanted as they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Watch {
    /// Those after this version; when absent, everything that is there comes first.
    pub resource_version: Option<u64>,
}

// === impl AgentQuery ===

impl AgentQuery {
    /// Parses a raw query string.
    ///
    /// # Errors
    /// Every fault, an unknown parameter among them.
    pub fn parse(query: &str) -> Result<Self, Vec<Fault>> {
        let mut parameters = Parameters::of(query);
        let this = Self {
            id: parameters.text(&["id"]),
            name: parameters.text(&["name"]),
            namespace: parameters.text(&["namespace"]),
            agent_type: parameters.text(&["agent_type"]),
            status: parameters.statuses(&["status"]).unwrap_or_default(),
            capability: CapabilityFilter {
                name: parameters.text(&["capability"]),
                category: parameters.text(&["capability_category", "category"]),
                stability: parameters.parsed(&["capability_stability", "stability"]),
                tags: parameters.words(&["capability_tags", "tags"]),
                version: parameters.parsed(&["version_constraint"]),
            },
            label_selector: parameters.parsed(&["label_selector"]).filter(demands_something),
            fuzzy_match: parameters.flag("fuzzy_match"),
            paging: Paging::take(&mut parameters),
            min_resource_version: version(&mut parameters, "min_resource_version"),
            watch: Watch::take(&mut parameters),
        };
        check_watch(&mut parameters, this.watch, &this.paging, this.min_resource_version);
        parameters.finish(this)
    }
}

impl fmt::Display for AgentQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer::default();
        printer.text("agent_type", self.agent_type.as_deref());
        printer.text("capability", self.capability.name.as_deref());
        printer.filter("capability_", &self.capability);
        printer.flag("fuzzy_match", self.fuzzy_match);
        printer.text("id", self.id.as_deref());
        printer.text("label_selector", self.label_selector.as_ref().map(ToString::to_string).as_deref());
        printer.text("name", self.name.as_deref());
        printer.text("namespace", self.namespace.as_deref());
        printer.statuses("status", &self.status);
        self.paging.print(&mut printer);
        printer.text("min_resource_version", self.min_resource_version.map(|it| it.to_string()).as_deref());
        self.watch.iter().for_each(|watch| watch.print(&mut printer));
        f.write_str(&printer.finish())
    }
}

// === impl CapabilityQuery ===

impl Default for CapabilityQuery {
    fn default() -> Self {
        Self {
            capability: CapabilityFilter::default(),
            description_contains: None,
            include_deprecated: false,
            agent_id: None,
            agent_namespace: None,
            agent_status: vec![Status::Healthy],
            label_selector: None,
            fuzzy_match: false,
            paging: Paging::default(),
            min_resource_version: None,
            watch: None,
        }
    }
}

impl CapabilityQuery {
    /// Parses a raw query string.
    ///
    /// # Errors
    /// Every fault, an unknown parameter among them.
    pub fn parse(query: &str) -> Result<Self, Vec<Fault>> {
        let mut parameters = Parameters::of(query);
        let this = Self {
            capability: CapabilityFilter {
                name: parameters.text(&["name"]),
                category: parameters.text(&["category"]),
                stability: parameters.parsed(&["stability"]),
                tags: parameters.words(&["tags"]),
                version: parameters.parsed(&["version_constraint"]),
            },
            description_contains: parameters.text(&["description_contains"]),
            include_deprecated: parameters.flag("include_deprecated"),
            agent_id: parameters.text(&["agent_id"]),
            agent_namespace: parameters.text(&["agent_namespace", "namespace"]),
            agent_status: parameters
                .statuses(&["agent_status", "status"])
                .unwrap_or_else(|| vec![Status::Healthy]),
            label_selector: parameters.parsed(&["label_selector"]).filter(demands_something),
            fuzzy_match: parameters.flag("fuzzy_match"),
            paging: Paging::take(&mut parameters),
            min_resource_version: version(&mut parameters, "min_resource_version"),
            watch: Watch::take(&mut parameters),
        };
        check_watch(&mut parameters, this.watch, &this.paging, this.min_resource_version);
        parameters.finish(this)
    }
}

impl fmt::Display for CapabilityQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer::default();
        printer.text("agent_id", self.agent_id.as_deref());
        printer.text("agent_namespace", self.agent_namespace.as_deref());
        if self.agent_status.is_empty() {
            printer.text("agent_status", Some(ANY));
        } else {
            printer.statuses("agent_status", &self.agent_status);
        }
        printer.text("description_contains", self.description_contains.as_deref());
        printer.filter("", &self.capability);
        printer.flag("fuzzy_match", self.fuzzy_match);
        printer.flag("include_deprecated", self.include_deprecated);
        printer.text("label_selector", self.label_selector.as_ref().map(ToString::to_string).as_deref());
        printer.text("name", self.capability.name.as_deref());
        self.paging.print(&mut printer);
        printer.text("min_resource_version", self.min_resource_version.map(|it| it.to_string()).as_deref());
        self.watch.iter().for_each(|watch| watch.print(&mut printer));
        f.write_str(&printer.finish())
    }
}

fn check_watch(parameters: &mut Parameters, watch: Option<Watch>, paging: &Paging, min: Option<u64>) {
    if watch.is_some() && (*paging != Paging::default() || min.is_some()) {
        parameters.fault("watch", "has no pages: limit, continue and min_resource_version go without it");
    }
}

// === impl Watch ===

impl Watch {
    fn take(parameters: &mut Parameters) -> Option<Self> {
        let (is_wanted, resource_version) =
            (parameters.flag("watch"), version(parameters, "resource_version"));
        if !is_wanted && resource_version.is_some() {
            parameters.fault("resource_version", "is where a watch begins, so it needs watch=true");
        }
        is_wanted.then_some(Self { resource_version })
    }

    fn print(&self, printer: &mut Printer) {
        printer.flag("watch", true);
        printer.text("resource_version", self.resource_version.map(|it| it.to_string()).as_deref());
    }
}

fn version(parameters: &mut Parameters, name: &'static str) -> Option<u64> {
    let text = parameters.text(&[name])?;
    let version = text.parse().ok();
    if version.is_none() {
        parameters.fault(name, format!("must be a resource version, a whole number, got {}", quoted(&text)));
    }
    version
}

/// A selector of nothing but spaces is none: it is printed as none, too.
fn demands_something(selector: &Selector) -> bool {
    !selector.requirements().is_empty()
}

// === impl Paging ===

impl Paging {
    fn take(parameters: &mut Parameters) -> Self {
        let limit = parameters.text(&["limit"]).and_then(|text| match text.parse() {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Some(limit),
            _ => {
                parameters.fault(
                    "limit",
                    format!("must be a whole number from 1 to {MAX_LIMIT}, got {}", quoted(&text)),
                );
                None
            }
        });
        Self { limit, continue_token: parameters.text(&["continue"]) }
    }

    fn print(&self, printer: &mut Printer) {
        printer.text("continue", self.continue_token.as_deref());
        printer.text("limit", self.limit.map(|limit| limit.to_string()).as_deref());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_that_cannot_be_read_is_told_once() {
        for query in
            ["version_constraint=bad", "stability=bad", "label_selector=bad(", "limit=bad", "status=bad"]
        {
            let faults = AgentQuery::parse(query).unwrap_err();
            assert_eq!(faults[0].message.matches("\"bad").count(), 1, "{}", faults[0]);
        }
    }

    #[test]
    fn the_documents_queries_are_read_as_they_stand() {
        let query =
            AgentQuery::parse("namespace=production&capability_category=data_processing&status=healthy")
                .unwrap();
        assert_eq!((query.namespace.as_deref(), query.status), (Some("production"), vec![Status::Healthy]));
        assert_eq!(query.capability.category.as_deref(), Some("data_processing"));
        let query = AgentQuery::parse("label_selector=env=production,team=data").unwrap();
        assert_eq!(query.label_selector.unwrap().to_string(), "env=production,team=data");
        assert!(AgentQuery::parse("version_constraint=>1.0.0").unwrap().capability.version.is_some());
        let query = CapabilityQuery::parse(
            "category=data_processing&stability=stable&agent_status=healthy&include_deprecated=false",
        )
        .unwrap();
        assert_eq!((query.agent_status, query.include_deprecated), (vec![Status::Healthy], false));
    }

    #[test]
    fn an_unknown_parameter_is_a_fault_that_names_the_known_one() {
        let faults = AgentQuery::parse("namspace=x&fuzzy_match=perhaps&limit=0").unwrap_err();
        let listed = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(listed.contains("did you mean 'namespace'?"), "{listed}");
        assert!(
            listed.contains("'fuzzy_match' must be true or false") && listed.contains("'limit' must be"),
            "{listed}"
        );
    }

    #[test]
    fn short_forms_and_pythons_booleans_are_understood() {
        let query = AgentQuery::parse("tags=b,a&tags=c&category=x&stability=beta&fuzzy_match=True").unwrap();
        assert_eq!(query.capability.tags, ["a", "b", "c"]);
        assert!(query.fuzzy_match);
    }

    #[test]
    fn a_watch_says_where_it_begins_and_has_no_pages() {
        let query = AgentQuery::parse("watch=true&resource_version=7&namespace=x").unwrap();
        assert_eq!(query.watch, Some(Watch { resource_version: Some(7) }));
        assert_eq!(AgentQuery::parse(&query.to_string()), Ok(query));
        assert_eq!(CapabilityQuery::parse("watch=true").unwrap().watch, Some(Watch::default()));
        for faulty in [
            "resource_version=7",
            "watch=true&limit=5",
            "watch=true&resource_version=x",
            "min_resource_version=-1",
        ] {
            assert!(
                AgentQuery::parse(faulty).is_err() && CapabilityQuery::parse(faulty).is_err(),
                "{faulty}"
            );
        }
    }

    #[test]
    fn a_selector_of_spaces_is_none() {
        assert_eq!(AgentQuery::parse("label_selector=++").unwrap(), AgentQuery::default());
        assert_eq!(CapabilityQuery::parse("label_selector=%20").unwrap(), CapabilityQuery::default());
    }

    #[test]
    fn a_list_of_no_status_is_a_fault_and_not_every_status() {
        for faulty in ["status=,", "status=%20,", "status=,&status="] {
            assert!(
                AgentQuery::parse(faulty).is_err() && CapabilityQuery::parse(faulty).is_err(),
                "{faulty}"
            );
        }
        assert_eq!(AgentQuery::parse("status="), Ok(AgentQuery::default()));
    }

    #[test]
    fn contradicting_repetitions_are_a_fault() {
        assert!(AgentQuery::parse("namespace=a&namespace=b").is_err());
        assert!(AgentQuery::parse("namespace=a&namespace=a").is_ok());
    }

    #[test]
    fn capabilities_of_healthy_agents_are_the_default_and_any_lifts_it() {
        assert_eq!(CapabilityQuery::parse("").unwrap(), CapabilityQuery::default());
        assert!(CapabilityQuery::parse("agent_status=any").unwrap().agent_status.is_empty());
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(
            name in "[ -~]{0,12}", tags in prop::collection::btree_set("[a-z]{1,4}", 0..3), fuzzy: bool,
            any: bool, limit in prop::option::of(1usize..=MAX_LIMIT)
        ) {
            let query = CapabilityQuery {
                capability: CapabilityFilter {
                    name: Some(name).filter(|name| !name.is_empty()),
                    tags: tags.into_iter().collect(),
                    ..CapabilityFilter::default()
                },
                agent_status: if any { Vec::new() } else { vec![Status::Degraded, Status::Healthy] },
                fuzzy_match: fuzzy,
                paging: Paging { limit, continue_token: None },
                ..CapabilityQuery::default()
            };
            prop_assert_eq!(CapabilityQuery::parse(&query.to_string()).unwrap(), query.clone());
            let query = AgentQuery {
                capability: query.capability, status: query.agent_status, paging: query.paging, ..AgentQuery::default()
            };
            prop_assert_eq!(AgentQuery::parse(&query.to_string()).unwrap(), query);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = AgentQuery::parse(&text);
            let _ = CapabilityQuery::parse(&text);
        }
    }
}
