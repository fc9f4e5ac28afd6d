//! Who offers what: questions to the registry, and the answers in the form in which a call uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mesh_api::health::Status;
use mesh_api::page::CapabilityRow;
use mesh_api::query::CapabilityQuery;
use mesh_client::client::Client;
use mesh_client::error::ClientError;
use semver::Version;
use tokio::time::Instant;

use crate::cache::{Ages, Cache, Found, Source};
use crate::endpoint::{Endpoint, Endpoints, Lane};
use crate::load::PRIOR;
use crate::metrics::Metrics;

/// How long a computed median is used, so that a busy pool does not compute it for every call.
const MEDIAN_KEPT: Duration = Duration::from_millis(100);

/// Answers to the two questions of the mesh: who can serve this call, and what does the registry's own API say.
pub struct Discovery {
    providers: Arc<Cache<ProviderSource>>,
    pages: Arc<Cache<PageSource>>,
}

/// Everybody who offers a capability.
#[derive(Debug)]
pub struct Providers {
    /// One for each agent, sorted by id.
    pub list: Vec<Provider>,
    median: Mutex<Option<(Instant, Duration)>>,
}

/// One agent that offers the capability.
#[derive(Debug)]
pub struct Provider {
    /// Where it is and how it fares.
    pub endpoint: Arc<Endpoint>,
    /// How this capability fares there.
    pub lane: Arc<Lane>,
    /// Name of the tool.
    pub tool: String,
    /// Version of the capability.
    pub version: Version,
    /// What the registry says about the agent.
    pub status: Status,
    /// Its share of the load.
    pub weight: f64,
    /// Whether calling the tool twice is as good as once.
    pub is_safe_to_repeat: bool,
    /// The agent's labels, for `/explain`.
    pub labels: BTreeMap<String, String>,
}

// === impl Discovery ===

impl Discovery {
    /// Asks `client` and remembers the answers for as long as `ages` says.
    pub fn new(client: Client, endpoints: Arc<Endpoints>, ages: Ages, metrics: Arc<Metrics>) -> Self {
        let source = ProviderSource { client: client.clone(), endpoints, metrics: Arc::clone(&metrics) };
        Self { providers: Cache::new(source, ages), pages: Cache::new(PageSource { client, metrics }, ages) }
    }

    /// Everybody who offers what `query` asks for.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses the question, and nothing is remembered.
    pub async fn providers(&self, query: &CapabilityQuery) -> Result<Found<Providers>, Arc<ClientError>> {
        self.providers.get(query).await
    }

    /// Asks again soon, because a provider could not be reached.
    pub fn doubt(&self, query: &CapabilityQuery) {
        self.providers.revalidate(query);
    }

    /// The registry's answer to a GET of `target`, byte for byte.
    ///
    /// # Errors
    /// As [`Self::providers`].
    pub async fn page(&self, target: String) -> Result<Found<Bytes>, Arc<ClientError>> {
        self.pages.get(&target).await
    }
}

// === impl Providers ===

impl Providers {
    fn of(rows: Vec<CapabilityRow>, endpoints: &Endpoints) -> Self {
        let mut by_agent: BTreeMap<String, Provider> = BTreeMap::new();
        for row in rows {
            let is_better =
                by_agent.get(&row.agent_id).is_none_or(|other| other.version < row.capability.version);
            if !is_better {
                continue;
            }
            match Provider::of(row, endpoints) {
                Ok(provider) => drop(by_agent.insert(provider.endpoint.agent_id.clone(), provider)),
                Err((id, reason)) => tracing::debug!(agent.id = id, reason, "a provider cannot be called"),
            }
        }
        Self { list: by_agent.into_values().collect(), median: Mutex::default() }
    }

    /// The median of the latencies that were measured in this pool.
    pub fn median_latency(&self) -> Duration {
        let mut kept = self.median.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, median)) = *kept
            && at.elapsed() < MEDIAN_KEPT
        {
            return median;
        }
        let before = kept.map_or(PRIOR, |(_, median)| median);
        let mut measured: Vec<_> =
            self.list.iter().filter_map(|provider| provider.lane.latency(before)).collect();
        measured.sort_unstable();
        let median = measured.get(measured.len() / 2).copied().unwrap_or(PRIOR);
        *kept = Some((Instant::now(), median));
        median
    }
}

// === impl Provider ===

impl Provider {
    fn of(row: CapabilityRow, endpoints: &Endpoints) -> Result<Self, (String, String)> {
        let endpoint = match endpoints.get(&row.agent_id, &row.agent_endpoint) {
            Ok(endpoint) => endpoint,
            Err(reason) => return Err((row.agent_id, reason)),
        };
        Ok(Self {
            lane: endpoint.lane(&row.capability.name),
            endpoint,
            is_safe_to_repeat: row.capability.annotations.is_safe_to_repeat(),
            tool: row.capability.name,
            version: row.capability.version,
            status: row.agent_status,
            weight: row.agent_weight,
            labels: row.agent_labels,
        })
    }
}

/// Asks for providers.
struct ProviderSource {
    client: Client,
    endpoints: Arc<Endpoints>,
    metrics: Arc<Metrics>,
}

impl Source for ProviderSource {
    type Key = CapabilityQuery;
    type Value = Providers;

    async fn fetch(
        &self,
        query: &CapabilityQuery,
        held: Option<Arc<Providers>>,
    ) -> Result<Arc<Providers>, ClientError> {
        let page = self.client.find(query).await;
        self.metrics.discovery_refreshed(page.is_ok());
        let page = page?;
        let is_cold = !page.info.warm;
        let found = Providers::of(page.capabilities, &self.endpoints);
        // A registry that has just started empty has not heard anybody yet. That is no news about the providers.
        match held.filter(|held| is_cold && found.list.is_empty() && !held.list.is_empty()) {
            Some(held) => Ok(held),
            None => Ok(Arc::new(found)),
        }
    }

    fn is_empty(providers: &Providers) -> bool {
        providers.list.is_empty()
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
