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
