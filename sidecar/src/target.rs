//! What calls ask for: a capability or one agent, and conditions, read once, with everything that all calls of the same
//! share.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_api::error::Fault;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use mesh_api::{agent, capability, route};
use tokio::time::Instant;

use crate::discovery::{Discovery, ProviderSlot};
use crate::error::CallError;
use crate::hedge::Hedging;
use crate::metrics::{Meters, Metrics};
use crate::question::Question;
use crate::retry::Budget;
use crate::terms::Terms;

/// Every namespace.
const EVERYWHERE: &str = "*";
/// What stands behind the id of an agent in the path of its MCP endpoint.
const ENDPOINT: &str = "/mcp";
/// What counts the calls of all endpoints: ids of agents are too many for the names of metrics.
const ENDPOINTS: &str = "/agents/{id}/mcp";
/// Most targets that are remembered, and most capabilities whose targets share a retry budget.
const MAX_KNOWN: usize = 1_024;

/// What a call asks for.
#[derive(Debug)]
pub struct Target {
    /// What it is called in the logs: the capability, or the path of the agent's endpoint.
    pub name: String,
    /// The question that the registry is asked.
    pub question: Question,
    /// Where its answer is.
    pub slot: Arc<ProviderSlot>,
    /// What all calls of the capability share.
    pub shared: Arc<Shared>,
}

/// What all calls of one capability share, or all of one agent's endpoint, whatever their conditions.
#[derive(Debug)]
pub struct Shared {
    /// What the manifest says about them.
    pub terms: Terms,
    /// What counts them.
    pub meters: Meters,
    budget: Mutex<Budget>,
    hedging: Mutex<Hedging>,
}

/// The targets of a sidecar.
pub struct Targets {
    discovery: Arc<Discovery>,
    metrics: Arc<Metrics>,
    namespace: String,
    terms: BTreeMap<String, Terms>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By what they ask for and the query string as they came.
    targets: BTreeMap<String, Arc<Target>>,
    shared: HashMap<String, Arc<Shared>>,
}

// === impl Targets ===

impl Targets {
    /// Targets of calls that stay in `namespace` unless told otherwise, under the `terms` of the manifest.
    pub fn new(
        discovery: Arc<Discovery>,
        metrics: Arc<Metrics>,
        namespace: String,
        terms: BTreeMap<String, Terms>,
    ) -> Self {
        Self { discovery, metrics, namespace, terms, known: Mutex::default() }
    }

    /// The target of calls of `capability` with this raw query string.
    ///
    /// # Errors
    /// Every fault of the name and the query.
    pub fn get(&self, capability: &str, raw: &str) -> Result<Arc<Target>, CallError> {
        let key = if raw.is_empty() { Cow::from(capability) } else { format!("{capability}?{raw}").into() };
        self.remembered(key, || {
            let terms = self.terms.get(capability);
            let query = read_query(capability, raw, &self.namespace, terms)?;
            Ok((capability.to_owned(), Question::Capability(query), terms))
        })
    }

    /// The target of requests to the endpoint of the agent `id` with this raw query string.
    ///
    /// # Errors
    /// Every fault of the id and the query.
    pub fn endpoint(&self, id: &str, raw: &str) -> Result<Arc<Target>, CallError> {
        // No path has a space in it, so no capability that anybody asks for has this key.
        self.remembered(format!(" {id}?{raw}").into(), || {
            let query = read_agent_query(id, raw, &self.namespace)?;
            Ok((format!("{}/{id}{ENDPOINT}", route::AGENTS), Question::Agent(query), None))
        })
    }

    /// What is remembered under `key`, or was read for the first time: a name, a question and the terms.
    fn remembered<'t>(
        &self,
        key: Cow<'_, str>,
        read: impl FnOnce() -> Result<(String, Question, Option<&'t Terms>), CallError>,
    ) -> Result<Arc<Target>, CallError> {
        if let Some(target) = self.known().targets.get(key.as_ref()) {
            return Ok(Arc::clone(target));
        }
        let (name, question, terms) = read()?;
        let slot = self.discovery.slot(&question);
        let shared = self.shared(&name, terms);
        let target = Arc::new(Target { name, question, slot, shared });
        let mut known = self.known();
        if known.targets.len() >= MAX_KNOWN {
            known.targets.clear();
        }
        known.targets.insert(key.into_owned(), Arc::clone(&target));
        Ok(target)
    }

    /// The targets of the manifest's dependencies.
    pub fn dependencies(&self) -> Vec<Arc<Target>> {
        self.terms.keys().filter_map(|capability| self.get(capability, "").ok()).collect()
    }

    /// Whether the manifest names it.
    pub fn is_dependency(&self, capability: &str, namespace: &str) -> bool {
        namespace == self.namespace && self.terms.contains_key(capability)
    }

    /// Whether the manifest says which versions will do.
    pub fn is_constrained(&self, capability: &str) -> bool {
        self.terms.get(capability).is_some_and(|terms| terms.version_constraint.is_some())
    }

    /// The namespace that calls stay in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn shared(&self, name: &str, terms: Option<&Terms>) -> Arc<Shared> {
        let mut known = self.known();
        if let Some(shared) = known.shared.get(name) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(Shared {
            terms: terms.cloned().unwrap_or_default(),
            meters: self.metrics.of(if name.starts_with('/') { ENDPOINTS } else { name }),
            budget: Mutex::new(Budget::new(Instant::now())),
            hedging: Mutex::default(),
        });
        // Whoever makes up names must not fill the memory: beyond the limit each target has a budget of its own.
        if known.shared.len() < MAX_KNOWN {
            known.shared.insert(name.to_owned(), Arc::clone(&shared));
        }
        shared
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Target ===

impl Target {
    /// The id of the agent, when no other one will do.
    pub fn agent(&self) -> Option<&str> {
        match &self.question {
            Question::Capability(_) => None,
            Question::Agent(query) => query.id.as_deref(),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// The retry budget.
    pub fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known for hedging.
    pub fn hedging(&self) -> MutexGuard<'_, Hedging> {
        self.hedging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of the registry for a call of `capability` with this raw query string.
fn read_query(
    capability: &str,
    raw: &str,
    own_namespace: &str,
    terms: Option<&Terms>,
) -> Result<CapabilityQuery, CallError> {
    let mut faults = Vec::new();
    if !capability::is_name(capability) {
        faults.push(Fault::new("capability", format!("must be {}", capability::NAME_RULE)));
    }
    let mut query = CapabilityQuery::parse(raw).unwrap_or_else(|mut more| {
        faults.append(&mut more);
        CapabilityQuery::default()
    });
    let unfit = [
        ("name", query.capability.name.is_some()),
        ("fuzzy_match", query.fuzzy_match),
        ("limit", query.paging.limit.is_some()),
        ("continue", query.paging.continue_token.is_some()),
        ("watch", query.watch.is_some()),
    ];
    faults.extend(
        unfit.iter().filter(|(_, given)| *given).map(|(name, _)| Fault::new(*name, "has no place in a call")),
    );
    if !faults.is_empty() {
        return Err(CallError::Invalid(faults));
    }
    query.capability.name = Some(capability.to_owned());
    if let Some(terms) = terms {
        query.capability.version = query.capability.version.or_else(|| terms.version_constraint.clone());
        query.label_selector = query.label_selector.or_else(|| terms.label_selector.clone());
    }
    // The balancer judges the health of everybody itself, and whoever names a deprecated capability wants it.
    query.agent_status = Vec::new();
    query.include_deprecated = true;
    query.agent_namespace = namespace(query.agent_namespace.take(), own_namespace);
    Ok(query)
}

/// What is asked of the registry for the agent `id` with this raw query string.
fn read_agent_query(id: &str, raw: &str, own_namespace: &str) -> Result<AgentQuery, CallError> {
    let mut faults = Vec::new();
    if !agent::is_id(id) {
        faults.push(Fault::new("id", format!("must be {}", agent::ID_RULE)));
    }
    let query = AgentQuery::parse(raw).unwrap_or_else(|mut more| {
        faults.append(&mut more);
        AgentQuery::default()
    });
    // Where the agent may be is a condition on the caller's side; what it is like, whoever names it knows.
    let conditions = AgentQuery { namespace: query.namespace.clone(), ..AgentQuery::default() };
    if query != conditions {
        faults.push(Fault::new("query", "may have namespace and nothing else: the agent is named already"));
    }
    if !faults.is_empty() {
        return Err(CallError::Invalid(faults));
    }
    let namespace = namespace(query.namespace, own_namespace);
    Ok(AgentQuery { id: Some(id.to_owned()), namespace, ..conditions })
}

/// The namespace to look in; none for all of them.
fn namespace(named: Option<String>, own: &str) -> Option<String> {
    match named {
        None => Some(own.to_owned()),
        Some(everywhere) if everywhere == EVERYWHERE => None,
        named => named,
    }
}

/// The id of the agent whose endpoint `path` is, if it is one, with a slash at its end or without.
pub fn agent_of(path: &str) -> Option<&str> {
    path.trim_end_matches('/').strip_prefix(route::AGENTS)?.strip_prefix('/')?.strip_suffix(ENDPOINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(capability: &str, raw: &str) -> Result<CapabilityQuery, Vec<Fault>> {
        let terms = Terms { version_constraint: "^2".parse().ok(), ..Terms::default() };
        match read_query(capability, raw, "prod", Some(&terms)) {
            Ok(query) => Ok(query),
            Err(CallError::Invalid(faults)) => Err(faults),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn calls_stay_in_their_own_namespace_unless_told_otherwise() {
        let namespace = |raw| read("summarize", raw).unwrap().agent_namespace;
        assert_eq!(namespace(""), Some("prod".to_owned()));
        assert_eq!(namespace("namespace=test"), Some("test".to_owned()));
        assert_eq!(namespace("namespace=*"), None);
    }

    #[test]
    fn a_dependency_is_what_is_asked_for_unless_the_call_says_otherwise() {
        let version =
            |raw| read("summarize", raw).unwrap().capability.version.map(|version| version.to_string());
        assert_eq!(version("").as_deref(), Some("^2"));
        assert_eq!(version("version_constraint=^3").as_deref(), Some("^3"));
    }

    #[test]
    fn an_agent_is_looked_for_by_its_id_and_in_a_namespace() {
        let read = |id, raw| read_agent_query(id, raw, "prod").map(|query| query.to_string()).ok();
        assert_eq!(read("a:1", "").as_deref(), Some("id=a%3A1&namespace=prod"));
        assert_eq!(read("a", "namespace=*").as_deref(), Some("id=a"));
        for (id, raw) in
            [("a/b", ""), ("", ""), ("a", "id=b"), ("a", "limit=1"), ("a", "watch=true"), ("a", "x=1")]
        {
            assert_eq!(read(id, raw), None, "{id} {raw}");
        }
        assert_eq!(
            ["/agents/a/mcp", "/agents/a/mcp/", "/agents//mcp"].map(agent_of),
            [Some("a"), Some("a"), Some("")]
        );
        assert_eq!(["/agents/mcp", "/agents/a"].map(agent_of), [None; 2]);
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(read("9x", "versoin_constraint=1&limit=3&fuzzy_match=true").unwrap_err().len(), 2);
        assert_eq!(read("x", "limit=3&fuzzy_match=true&name=y").unwrap_err().len(), 3);
    }
}
