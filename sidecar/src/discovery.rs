//! Who offers what: questions to the registry, and the answers in the form in which a call uses them.

pub mod source;

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_api::page::CapabilityRow;
use mesh_api::query::CapabilityQuery;
use mesh_client::client::Client;
use mesh_client::error::ClientError;
use serde_json::value::RawValue;

use self::source::{PageSource, ProviderSource, StockSource};
use crate::cache::Cache;
use crate::cache::slot::{Ages, Found, Slot, Source};
use crate::endpoint::Endpoints;
use crate::gate::SharedGate;
use crate::metrics::Metrics;
use crate::provider::{Origin, Providers};
use crate::question::Question;
use crate::stock::{Ours, Stock};

/// The place of a question about providers.
pub type ProviderSlot = Slot<ProviderSource>;
/// The place of a question about what can be called.
pub type StockSlot = Slot<StockSource>;

/// Answers to the questions of the mesh: who can serve this call, what can be called, and what does the registry's own API
/// say.
pub struct Discovery {
    client: Client,
    providers: Arc<Cache<ProviderSource>>,
    stocks: Arc<Cache<StockSource>>,
    pages: Arc<Cache<PageSource>>,
}

/// The registry, and how it is asked.
pub struct Asked {
    /// Asks it.
    pub client: Client,
    /// When it may be asked.
    pub gate: Arc<SharedGate>,
    /// How old its answers may be.
    pub ages: Ages,
    /// What counts the questions.
    pub metrics: Arc<Metrics>,
}

/// An answer about providers as it is kept on the disk.
#[derive(Debug)]
pub struct Remembered {
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub rows: Vec<CapabilityRow>,
    /// How long ago.
    pub age: Duration,
}

/// A list of what can be called, as it is kept on the disk.
#[derive(Debug)]
pub struct RememberedTools {
    /// What was asked.
    pub query: CapabilityQuery,
    /// The entries of the list.
    pub entries: Vec<Box<RawValue>>,
    /// How long ago it was answered.
    pub age: Duration,
}

// === impl Discovery ===

impl Discovery {
    /// Asks `registry` and remembers the answers, as a sidecar in `zone` uses them for `ours`.
    pub fn new(registry: Asked, endpoints: Arc<Endpoints>, zone: Option<String>, ours: Ours) -> Self {
        let Asked { client, gate, ages, metrics } = registry;
        let source =
            ProviderSource { client: client.clone(), endpoints, zone, metrics: Arc::clone(&metrics) };
        let stocks = StockSource { client: client.clone(), ours, metrics: Arc::clone(&metrics) };
        let pages = PageSource { client: client.clone(), metrics };
        Self {
            client,
            providers: Cache::new(source, ages, Arc::clone(&gate)),
            stocks: Cache::new(stocks, ages, Arc::clone(&gate)),
            pages: Cache::new(pages, ages, gate),
        }
    }

    /// The place of the answer to `question`.
    pub fn slot(&self, question: &Question) -> Arc<ProviderSlot> {
        self.providers.slot(question)
    }

    /// Everybody whom `slot` asks for.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses the question, and nothing is remembered.
    pub async fn providers(&self, slot: &Arc<ProviderSlot>) -> Result<Found<Providers>, Arc<ClientError>> {
        self.providers.get(slot).await
    }

    /// Asks again soon, because a provider could not be reached.
    pub fn doubt(&self, slot: &Arc<ProviderSlot>) {
        self.providers.revalidate(slot);
    }

    /// Whether the registry may be asked now what nobody waits for.
    pub fn may_ask(&self) -> bool {
        self.providers.may_ask()
    }

    /// Renews the answer with every change that the registry tells of, until the watch ends.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn follow(&self, slot: &Arc<ProviderSlot>) -> Result<Infallible, Arc<ClientError>> {
        self.watch(&self.providers, slot, |providers| providers.origin.resource_version).await
    }

    /// The place of what `query` says can be called.
    pub fn stock_slot(&self, query: &CapabilityQuery) -> Arc<StockSlot> {
        self.stocks.slot(query)
    }

    /// What can be called.
    ///
    /// # Errors
    /// As [`Self::providers`].
    pub async fn stock(&self, slot: &Arc<StockSlot>) -> Result<Found<Stock>, Arc<ClientError>> {
        self.stocks.get(slot).await
    }

    /// As [`Self::follow`].
    ///
    /// # Errors
    /// Why it ended.
    pub async fn follow_stock(&self, slot: &Arc<StockSlot>) -> Result<Infallible, Arc<ClientError>> {
        self.watch(&self.stocks, slot, |stock| stock.resource_version).await
    }

    async fn watch<S: Source<Key: Into<Question>>>(
        &self,
        cache: &Cache<S>,
        slot: &Slot<S>,
        newest: impl Fn(&S::Value) -> u64,
    ) -> Result<Infallible, Arc<ClientError>> {
        cache.renew(slot).await?;
        let since = slot.answer().map(|(value, _)| newest(&value));
        let mut changes = match slot.key.clone().into() {
            Question::Capability(query) => self.client.watch(&query, since).await?,
            Question::Agent(query) => self.client.watch_agents(&query, since).await?,
        };
        slot.follow(true);
        let _until_the_end = Following(slot);
        loop {
            changes.next().await?;
            cache.renew(slot).await?;
        }
    }

    /// The registry's answer to a GET of `target`, byte for byte.
    ///
    /// # Errors
    /// As [`Self::providers`].
    pub async fn page(&self, target: String) -> Result<Found<Bytes>, Arc<ClientError>> {
        self.pages.get(&self.pages.slot(&target)).await
    }

    /// How old the answers about providers are.
    pub fn ages(&self) -> Vec<Duration> {
        self.providers.slots().iter().filter_map(|slot| slot.answer()).map(|(_, age)| age).collect()
    }

    /// Forgets what was not used for a while; returns the questions that are left.
    pub fn tidy(&self) -> Vec<Arc<ProviderSlot>> {
        self.pages.tidy();
        self.stocks.tidy();
        self.providers.tidy()
    }

    /// Sees to it that `slot` has an answer before it is needed, and is not forgotten.
    pub fn keep(&self, slot: &Arc<ProviderSlot>) {
        self.providers.prefetch(slot);
    }

    /// Which answers about providers and tools are not empty, and a number for each that is another one when they have
    /// changed: the newest change, or of tools what their names are, as a list of thousands is not worth writing anew
    /// whenever somebody falls ill.
    pub fn editions(&self) -> Vec<(String, u64)> {
        let answers = self.providers.slots().into_iter().filter_map(|slot| {
            let (providers, _) = slot.answer()?;
            let is_empty = providers.origin.rows.is_empty();
            (!is_empty).then(|| (slot.key.to_string(), providers.origin.resource_version))
        });
        let tools = self.stocks.slots().into_iter().filter_map(|slot| {
            let (stock, _) = slot.answer()?;
            (!stock.tools.is_empty()).then(|| {
                let mut hasher = DefaultHasher::new();
                stock.tools.keys().for_each(|name| name.hash(&mut hasher));
                (format!("tools of {}", slot.key), hasher.finish())
            })
        });
        let mut editions: Vec<_> = answers.chain(tools).collect();
        editions.sort_unstable();
        editions
    }

    /// The answers about providers that are not empty.
    pub fn remembered(&self) -> Vec<Remembered> {
        let answers = self.providers.slots().into_iter().filter_map(|slot| {
            let (providers, age) = slot.answer()?;
            let rows = &providers.origin.rows;
            (!rows.is_empty()).then(|| Remembered { question: slot.key.clone(), rows: rows.clone(), age })
        });
        answers.collect()
    }

    /// The lists of what can be called that are not empty.
    pub fn remembered_tools(&self) -> Vec<RememberedTools> {
        let answers = self.stocks.slots().into_iter().filter_map(|slot| {
            let (stock, age) = slot.answer()?;
            let entries: Vec<_> = stock.tools.values().map(|tool| tool.listed.entry.clone()).collect();
            (!entries.is_empty()).then(|| RememberedTools { query: slot.key.clone(), entries, age })
        });
        answers.collect()
    }

    /// Takes a list that was kept on the disk.
    pub fn restore_tools(&self, remembered: RememberedTools) {
        let stock = Stock::restored(remembered.entries, &self.stocks.source().ours);
        self.stocks.restore(&remembered.query, Arc::new(stock), remembered.age);
    }

    /// Takes an answer that was kept on the disk.
    pub fn restore(&self, remembered: Remembered) {
        let origin = Origin { rows: remembered.rows, ..Origin::default() };
        let providers = self.providers.source().read(origin);
        self.providers.restore(&remembered.question, Arc::new(providers), remembered.age);
    }
}

/// Marks a slot as followed for as long as a watch is open.
struct Following<'s, S: Source>(&'s Slot<S>);

impl<S: Source> Drop for Following<'_, S> {
    fn drop(&mut self) {
        self.0.follow(false);
    }
}
