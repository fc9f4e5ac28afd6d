//! Who offers what: questions to the registry, and the answers in the form in which a call uses them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_api::page::CapabilityRow;
use mesh_api::query::CapabilityQuery;
use mesh_client::client::Client;
use mesh_client::error::ClientError;

use crate::cache::Cache;
use crate::cache::slot::{Ages, Found, Slot, Source};
use crate::endpoint::Endpoints;
use crate::gate::SharedGate;
use crate::metrics::Metrics;
use crate::provider::{Origin, Providers};

/// The place of a question about providers.
pub type ProviderSlot = Slot<ProviderSource>;

/// Answers to the two questions of the mesh: who can serve this call, and what does the registry's own API say.
pub struct Discovery {
    client: Client,
    providers: Arc<Cache<ProviderSource>>,
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
    pub query: CapabilityQuery,
    /// What was answered.
    pub rows: Vec<CapabilityRow>,
    /// How long ago.
    pub age: Duration,
}

// === impl Discovery ===

impl Discovery {
    /// Asks `registry` and remembers the answers, as a sidecar in `zone` uses them.
    pub fn new(registry: Asked, endpoints: Arc<Endpoints>, zone: Option<String>) -> Self {
        let Asked { client, gate, ages, metrics } = registry;
        let source =
            ProviderSource { client: client.clone(), endpoints, zone, metrics: Arc::clone(&metrics) };
        let pages = PageSource { client: client.clone(), metrics };
        Self {
            client,
            providers: Cache::new(source, ages, Arc::clone(&gate)),
            pages: Cache::new(pages, ages, gate),
        }
    }

    /// The place of the answer to `query`.
    pub fn slot(&self, query: &CapabilityQuery) -> Arc<ProviderSlot> {
        self.providers.slot(query)
    }

    /// Everybody who offers what `slot` asks for.
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
        self.providers.renew(slot).await?;
        let since = slot.answer().map(|(providers, _)| providers.origin.resource_version);
        let mut changes = self.client.watch(&slot.key, since).await?;
        slot.follow(true);
        let _until_the_end = Following(slot);
        loop {
            changes.next().await?;
            self.providers.renew(slot).await?;
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
        self.providers.tidy()
    }

    /// Sees to it that `slot` has an answer before it is needed, and is not forgotten.
    pub fn keep(&self, slot: &Arc<ProviderSlot>) {
        self.providers.prefetch(slot);
    }

    /// Which answers about providers are not empty, and the newest change in each.
    pub fn editions(&self) -> Vec<(String, u64)> {
        let answers = self.providers.slots().into_iter().filter_map(|slot| {
            let (providers, _) = slot.answer()?;
            let is_empty = providers.origin.rows.is_empty();
            (!is_empty).then(|| (slot.key.to_string(), providers.origin.resource_version))
        });
        let mut editions: Vec<_> = answers.collect();
        editions.sort_unstable();
        editions
    }

    /// The answers about providers that are not empty.
    pub fn remembered(&self) -> Vec<Remembered> {
        let answers = self.providers.slots().into_iter().filter_map(|slot| {
            let (providers, age) = slot.answer()?;
            let rows = &providers.origin.rows;
            (!rows.is_empty()).then(|| Remembered { query: slot.key.clone(), rows: rows.clone(), age })
        });
        answers.collect()
    }

    /// Takes an answer that was kept on the disk.
    pub fn restore(&self, remembered: Remembered) {
        let origin = Origin { rows: remembered.rows, ..Origin::default() };
        let providers = self.providers.source().read(origin);
        self.providers.restore(&remembered.query, Arc::new(providers), remembered.age);
    }
}

/// Marks a slot as followed for as long as a watch is open.
struct Following<'s>(&'s ProviderSlot);

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.0.follow(false);
    }
}

/// Asks for providers.
pub struct ProviderSource {
    client: Client,
    endpoints: Arc<Endpoints>,
    zone: Option<String>,
    metrics: Arc<Metrics>,
}

impl ProviderSource {
    fn read(&self, origin: Origin) -> Providers {
        Providers::of(origin, &self.endpoints, self.zone.as_deref())
    }
}

/// What a call does not need is not remembered: schemas are most of what an answer weighs.
fn without_ballast(mut row: CapabilityRow) -> CapabilityRow {
    row.capability.input_schema = None;
    row.capability.output_schema = None;
    row.capability.description = None;
    row
}

impl Source for ProviderSource {
    type Key = CapabilityQuery;
    type Value = Providers;

    async fn fetch(
        &self,
        query: &CapabilityQuery,
        held: Option<Arc<Providers>>,
    ) -> Result<Arc<Providers>, ClientError> {
        let tag = held.as_ref().and_then(|held| held.origin.tag.as_deref());
        let finding = self.client.find(query, tag).await;
        self.metrics.discovery_refreshed(finding.is_ok());
        let finding = match (finding?, held.as_ref()) {
            (Some(finding), _) => finding,
            (None, Some(held)) => return Ok(Arc::clone(held)),
            // Nothing was held, so no tag was sent.
            (None, None) => return Err(ClientError::Address(query.to_string())),
        };
        let is_cold = !finding.page.info.warm;
        let mut origin = Origin {
            rows: finding.page.capabilities.into_iter().map(without_ballast).collect(),
            // A cold answer is never the same as a warm one, whatever the tags of their rows say.
            tag: finding.tag.filter(|_| !is_cold),
            resource_version: finding.page.info.resource_version,
            is_cold,
            unheard: BTreeSet::new(),
        };
        // A registry that has just started empty has not heard everybody yet: whom it does not know need not have left.
        if let Some(held) = held.as_ref().filter(|_| is_cold) {
            origin.add_unheard(&held.origin);
        }
        match held {
            Some(held) => Ok(Arc::new(self.read(origin).after(&held))),
            None => Ok(Arc::new(self.read(origin))),
        }
    }

    fn is_empty(providers: &Providers) -> bool {
        providers.origin.rows.is_empty()
    }

    fn is_whole(providers: &Providers) -> bool {
        !providers.origin.is_cold
    }
}

/// Asks for the registry's own pages.
struct PageSource {
    client: Client,
    metrics: Arc<Metrics>,
}

impl Source for PageSource {
    type Key = String;
    type Value = Bytes;

    async fn fetch(&self, target: &String, _: Option<Arc<Bytes>>) -> Result<Arc<Bytes>, ClientError> {
        let page = self.client.get(target).await;
        self.metrics.discovery_refreshed(page.is_ok());
        page.map(Arc::new)
    }

    fn is_empty(_: &Bytes) -> bool {
        false
    }
}
