//! The tools of the mesh that our agent is offered: what its manifest names as dependencies, or everything.
//!
//! The list follows what is registered and not how everybody fares: a tool stays while anybody is registered who has it, and
//! for a while after the last one has gone. While the registry is away the list stays as it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use mesh_api::query::CapabilityQuery;
use mesh_client::dice::Dice;
use mesh_mcp::front::listing::{ListedTool, Listing};
use mesh_mcp::front::tools::Unavailable;
use rand::RngExt as _;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::discovery::{Discovery, StockSlot};
use crate::error::chain;
use crate::meta_tools::{self, Search};
use crate::stock::{Stock, Tool};
use crate::target::Targets;

/// Time that a tool stays on the list after the last agent that had it has gone, so that a restart takes nothing away.
const LINGERING: Duration = Duration::from_secs(30);
/// How often somebody who is told of changes looks whether there is one.
const LOOK: Duration = Duration::from_millis(250);
/// Longest pause before a watch that has ended is opened anew, of which each takes a part at random.
const SPREAD: Duration = Duration::from_secs(15);

/// Most questions that are watched: each is a connection to the registry.
const MAX_WATCHED: usize = 64;

/// Which tools our agent is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    /// Everything that is registered, and not only what the manifest names.
    pub all: bool,
    /// Most tools to list. When there are more, those are listed that the manifest names, and two tools with which the
    /// others can be found and called.
    pub max: Option<usize>,
}

/// The tools of the mesh that our agent is offered.
pub struct Offer {
    discovery: Arc<Discovery>,
    targets: Arc<Targets>,
    choice: Choice,
    known: Mutex<Known>,
    watching: Mutex<Weak<Watching>>,
}

/// What is offered at one moment.
#[derive(Debug, Default)]
pub struct Shelf {
    /// What is listed.
    pub listing: Arc<Listing>,
    /// What can be called, by its name.
    pub tools: BTreeMap<String, Arc<Tool>>,
    /// Grows when what is listed changes.
    pub edition: u64,
}

#[derive(Default)]
struct Known {
    /// What the shelf was made of.
    stocks: Vec<Arc<Stock>>,
    shelf: Arc<Shelf>,
    /// Tools that nobody has any more, and until when they stay.
    leaving: BTreeMap<String, Instant>,
}

/// Watches the registry for as long as somebody holds it.
struct Watching(Vec<AbortHandle>);

// === impl Offer ===

impl Offer {
    /// Offers what `choice` says of what `discovery` knows.
    pub fn new(discovery: Arc<Discovery>, targets: Arc<Targets>, choice: Choice) -> Self {
        Self { discovery, targets, choice, known: Mutex::default(), watching: Mutex::default() }
    }

    /// Whether there are two tools that stand for those that are not listed.
    pub fn has_meta_tools(&self) -> bool {
        self.choice.max.is_some()
    }

    /// What is offered now.
    ///
    /// # Errors
    /// When the registry cannot be asked and nothing is remembered.
    pub async fn shelf(&self) -> Result<Arc<Shelf>, Unavailable> {
        let (mut stocks, mut missing) = (Vec::new(), None);
        for slot in self.slots() {
            match self.discovery.stock(&slot).await {
                Ok(found) => stocks.push(found.value),
                Err(fault) => missing = Some(chain(&*fault)),
            }
        }
        match missing {
            Some(reason) if stocks.is_empty() => Err(Unavailable(format!(
                "the registry cannot be asked which tools there are: {reason}; try again in a moment"
            ))),
            missing => Ok(self.renew(stocks, missing.is_none())),
        }
    }

    /// Returns with the edition of the list when it is another one than `seen`.
    pub async fn changed(&self, seen: u64) -> u64 {
        let _watching = self.watch();
        loop {
            match self.shelf().await {
                Ok(shelf) if shelf.edition != seen => return shelf.edition,
                Ok(_) | Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// One question for each dependency, and one for everything.
    fn slots(&self) -> Vec<Arc<StockSlot>> {
        let dependencies = self.targets.dependencies();
        let dependencies = dependencies.iter().filter_map(|target| target.question.capability().cloned());
        let all = self
            .choice
            .all
            .then(|| CapabilityQuery { agent_status: Vec::new(), ..CapabilityQuery::default() });
        dependencies.chain(all).map(|query| self.discovery.stock_slot(&query)).collect()
    }

    /// What is offered when `stocks` are what there is; `is_whole` says whether nothing is missing.
    fn renew(&self, stocks: Vec<Arc<Stock>>, is_whole: bool) -> Arc<Shelf> {
        let (mut known, now) = (self.known(), Instant::now());
        let is_same = known.stocks.len() == stocks.len()
            && known.stocks.iter().zip(&stocks).all(|(known, stock)| Arc::ptr_eq(known, stock));
        if is_same && !known.leaving.values().any(|until| *until <= now) {
            return Arc::clone(&known.shelf);
        }
        let mut tools = BTreeMap::new();
        for tool in stocks.iter().flat_map(|stock| stock.tools.values()) {
            tools.entry(tool.listed.name.clone()).or_insert_with(|| Arc::clone(tool));
        }
        let (before, mut leaving) = (Arc::clone(&known.shelf), BTreeMap::new());
        for (name, tool) in &before.tools {
            if tools.contains_key(name) {
                continue;
            }
            // Of what could not be asked for it is not known whether it has left.
            let until = known.leaving.get(name).copied().unwrap_or(now + LINGERING);
            if until > now || !is_whole {
                tools.insert(name.clone(), Arc::clone(tool));
                leaving.insert(name.clone(), until);
            }
        }
        known.leaving = leaving;
        known.stocks = stocks;
        let listed = self.listed(&tools);
        let is_changed = !before.listing.lists(&listed);
        let (listing, edition) = match is_changed {
            true => (Arc::new(Listing::new(listed)), before.edition + 1),
            false => (Arc::clone(&before.listing), before.edition),
        };
        known.shelf = Arc::new(Shelf { listing, tools, edition });
        Arc::clone(&known.shelf)
    }

    fn listed(&self, tools: &BTreeMap<String, Arc<Tool>>) -> Vec<ListedTool> {
        let fits = self.choice.max.is_none_or(|max| tools.len() <= max);
        let named = |tool: &&Arc<Tool>| self.targets.is_dependency(&tool.capability, &tool.namespace);
        let listed = tools.values().filter(|tool| fits || named(tool)).map(|tool| tool.listed.clone());
        let listed = listed.chain(meta_tools::listed().into_iter().filter(|_| !fits));
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }

    /// The tools that fit the words of `query` best, as the registry ranks them.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn search(&self, query: &Search) -> Result<Vec<Arc<Tool>>, Unavailable> {
        let shelf = self.shelf().await?;
        let page = self.discovery.page(query.target()).await;
        let page =
            page.map_err(|fault| Unavailable(format!("the registry cannot be asked: {}", chain(&*fault))))?;
        let mut found: Vec<Arc<Tool>> = Vec::new();
        for name in query.names(&page.value, self.targets.namespace()) {
            let tool = shelf.tools.get(&name).filter(|_| found.len() < query.limit);
            found.extend(tool.filter(|tool| !found.iter().any(|one| Arc::ptr_eq(one, tool))).cloned());
        }
        Ok(found)
    }

    /// Watches the registry, once for everybody who is told of changes.
    fn watch(&self) -> Arc<Watching> {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watching) = watching.upgrade() {
            return watching;
        }
        let watch = |slot| tokio::spawn(follow(Arc::clone(&self.discovery), slot)).abort_handle();
        let new = Arc::new(Watching(self.slots().into_iter().take(MAX_WATCHED).map(watch).collect()));
        *watching = Arc::downgrade(&new);
        new
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one answer, over and over.
async fn follow(discovery: Arc<Discovery>, slot: Arc<StockSlot>) {
    loop {
        if discovery.may_ask() {
            let Err(fault) = discovery.follow_stock(&slot).await;
            tracing::debug!(query = %slot.key, reason = chain(&*fault), "a watch has ended");
        }
        tokio::time::sleep(SPREAD.mul_f64(Dice.random_range(0.0..1.0))).await;
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use mesh_api::page::CapabilityRow;
    use mesh_client::client::Client;
    use serde_json::json;

    use super::*;
    use crate::cache::slot::Ages;
    use crate::destination::Destinations;
    use crate::dial::{Dialer, HostNetwork};
    use crate::discovery::Asked;
    use crate::endpoint::Endpoints;
    use crate::metrics::Metrics;
    use crate::stock::Ours;

    const SECOND: Duration = Duration::from_secs(1);

    /// An offer of everything, whose registry is asked for nothing.
    fn offer() -> Offer {
        let metrics = Arc::new(Metrics::default());
        let dialer = Dialer::new(Arc::new(HostNetwork), Destinations::default(), SECOND);
        let endpoints = Arc::new(Endpoints::new(dialer, Arc::clone(&metrics)));
        let ages = Ages { fresh: SECOND, negative: SECOND, aging: SECOND, stale: SECOND, patience: SECOND };
        let client = Client::new(&["http://127.0.0.1:1".to_owned()], SECOND).unwrap();
        let asked = Asked { client, gate: Arc::default(), ages, metrics: Arc::clone(&metrics) };
        let discovery = Arc::new(Discovery::new(asked, endpoints, None, Ours::default()));
        let targets = Targets::new(Arc::clone(&discovery), metrics, "default".to_owned(), BTreeMap::new());
        Offer::new(discovery, Arc::new(targets), Choice { all: true, max: None })
    }

    /// What the registry says when agents offer these tools, each with a description.
    fn stocks(tools: &[(&str, &str)]) -> Vec<Arc<Stock>> {
        let rows = tools.iter().map(|(name, description)| {
            let row = json!({"name": name, "version": "1.0.0", "description": description, "category": null, "tags": [],
                "stability": "stable", "agent_id": "a", "agent_name": "a", "agent_namespace": "default",
                "agent_status": "healthy", "agent_endpoint": "http://h:1/mcp", "agent_labels": {}, "agent_weight": 1.0});
            serde_json::from_value::<CapabilityRow>(row).unwrap()
        });
        let ours = Ours { namespace: "default".to_owned(), id: None };
        vec![Arc::new(Stock::of(&rows.collect::<Vec<_>>(), &ours))]
    }

    fn names(shelf: &Shelf) -> Vec<&str> {
        shelf.tools.keys().map(String::as_str).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tool_that_nobody_has_any_more_stays_for_a_while_and_then_leaves_the_list() {
        let offer = offer();
        let first = offer.renew(stocks(&[("a", ""), ("b", "")]), true);
        let left = stocks(&[("a", "")]);
        let shelf = offer.renew(left.clone(), true);
        assert_eq!((names(&shelf), shelf.edition), (vec!["a", "b"], first.edition));
        tokio::time::advance(LINGERING - SECOND).await;
        let shelf = offer.renew(left.clone(), true);
        assert_eq!((names(&shelf), shelf.edition), (vec!["a", "b"], first.edition));
        tokio::time::advance(SECOND * 2).await;
        let shelf = offer.renew(left, true);
        assert_eq!((names(&shelf), shelf.edition), (vec!["a"], first.edition + 1));
        // One that is back in time was never away.
        offer.renew(stocks(&[]), true);
        tokio::time::advance(LINGERING / 2).await;
        offer.renew(stocks(&[("a", "")]), true);
        tokio::time::advance(LINGERING).await;
        assert_eq!(offer.renew(stocks(&[("a", "")]), true).edition, first.edition + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn of_what_cannot_be_asked_for_nothing_leaves_and_what_looks_different_is_a_change() {
        let offer = offer();
        let first = offer.renew(stocks(&[("a", ""), ("b", "")]), true);
        offer.renew(stocks(&[("a", "")]), false);
        tokio::time::advance(LINGERING * 3).await;
        let shelf = offer.renew(stocks(&[("a", "")]), false);
        assert_eq!((names(&shelf), shelf.edition), (vec!["a", "b"], first.edition));
        let shelf = offer.renew(stocks(&[("a", "does something else now")]), false);
        assert_eq!(shelf.edition, first.edition + 1);
        assert!(Arc::ptr_eq(
            &shelf.listing,
            &offer.renew(stocks(&[("a", "does something else now")]), false).listing
        ));
    }
}
