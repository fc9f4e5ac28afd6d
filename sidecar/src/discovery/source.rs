//! The questions that the registry is asked, and its answers in the form in which they are kept.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use mesh_api::page::{CapabilityRow, PageInfo};
use mesh_api::query::CapabilityQuery;
use mesh_client::client::Client;
use mesh_client::error::ClientError;
use mesh_mcp::param_header::of_schema;
use serde_json::{Map, Value};

use crate::cache::slot::Source;
use crate::endpoint::Endpoints;
use crate::metrics::Metrics;
use crate::provider::{Origin, Providers};
use crate::question::{self, Question};
use crate::stock::{Ours, Stock};

/// Asks for providers.
pub struct ProviderSource {
    pub(super) client: Client,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) zone: Option<String>,
    pub(super) metrics: Arc<Metrics>,
}

/// What the registry answered.
struct Answer {
    rows: Vec<CapabilityRow>,
    info: PageInfo,
    tag: Option<String>,
}

impl ProviderSource {
    /// Asks; `None` when the answer is still the one that `tag` is of.
    async fn ask(&self, question: &Question, tag: Option<&str>) -> Result<Option<Answer>, ClientError> {
        Ok(match question {
            Question::Capability(query) => self.client.find(query, tag).await?.map(|found| Answer {
                rows: found.page.capabilities.into_iter().map(without_ballast).collect(),
                info: found.page.info,
                tag: found.tag,
            }),
            Question::Agent(query) => self.client.find_agents(query, tag).await?.map(|found| Answer {
                rows: found.page.agents.into_iter().map(question::row_of).collect(),
                info: found.page.info,
                tag: found.tag,
            }),
        })
    }

    pub(super) fn read(&self, origin: Origin) -> Providers {
        Providers::of(origin, &self.endpoints, self.zone.as_deref())
    }
}

/// The answer from before, because the registry says that it has not changed. It says so only of an answer whose tag it was
/// told, so one is held.
fn unchanged<V>(held: Option<Arc<V>>, question: &impl Display) -> Result<Arc<V>, ClientError> {
    held.ok_or_else(|| ClientError::Address(question.to_string()))
}

/// What a call does not need is not remembered: schemas are most of what an answer weighs. Few of them say something that
/// every call must repeat.
fn without_ballast(mut row: CapabilityRow) -> CapabilityRow {
    // Whatever is wrong with such a schema, its agent will say.
    let is_needed =
        |schema: &mut Map<String, Value>| of_schema(schema).is_ok_and(|params| !params.is_empty());
    row.capability.input_schema = row.capability.input_schema.take_if(is_needed);
    row.capability.output_schema = None;
    row.capability.description = None;
    row
}

impl Source for ProviderSource {
    type Key = Question;
    type Value = Providers;

    async fn fetch(
        &self,
        question: &Question,
        held: Option<Arc<Providers>>,
    ) -> Result<Arc<Providers>, ClientError> {
        let tag = held.as_ref().and_then(|held| held.origin.tag.as_deref());
        let found = self.ask(question, tag).await;
        self.metrics.discovery_refreshed(found.is_ok());
        let Some(found) = found? else { return unchanged(held, question) };
        let is_cold = !found.info.warm;
        let mut origin = Origin {
            rows: found.rows,
            // A cold answer is never the same as a warm one, whatever the tags of their rows say.
            tag: found.tag.filter(|_| !is_cold),
            resource_version: found.info.resource_version,
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

/// Asks for what can be called.
pub struct StockSource {
    pub(super) client: Client,
    pub(super) ours: Ours,
    pub(super) metrics: Arc<Metrics>,
}

impl Source for StockSource {
    type Key = CapabilityQuery;
    type Value = Stock;

    async fn fetch(
        &self,
        query: &CapabilityQuery,
        held: Option<Arc<Stock>>,
    ) -> Result<Arc<Stock>, ClientError> {
        let finding = self.client.find(query, held.as_ref().and_then(|held| held.tag.as_deref())).await;
        self.metrics.discovery_refreshed(finding.is_ok());
        let Some(finding) = finding? else { return unchanged(held, query) };
        let info = finding.page.info;
        let mut stock = Stock::of(&finding.page.capabilities, &self.ours);
        stock.is_cold = !info.warm;
        stock.resource_version = info.resource_version;
        stock.tag = finding.tag.filter(|_| info.warm);
        if let Some(held) = held.filter(|_| !info.warm) {
            stock.add_unheard(&held);
        }
        Ok(Arc::new(stock))
    }

    fn is_empty(stock: &Stock) -> bool {
        stock.tools.is_empty()
    }

    fn is_whole(stock: &Stock) -> bool {
        !stock.is_cold
    }
}

/// Asks for the registry's own pages.
pub struct PageSource {
    pub(super) client: Client,
    pub(super) metrics: Arc<Metrics>,
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
