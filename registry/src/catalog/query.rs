//! Compiles a query into conditions on posting lists and solves them: which agents, or which of their capabilities, it
//! finds. Pure.

use mesh_api::capability::{CapabilityFilter, Stability};
use mesh_api::query::{AgentQuery, CapabilityQuery, Paging};
use roaring::RoaringBitmap;

use super::conditions::Conditions;
use super::facets::{Aspect, Facet};
use super::fuzzy::{Field, Needle, Score};
use super::index::{RowLists, Whole};
use super::ranked::Ranked;
use super::seats::Seats;

/// A query of one of the two kinds.
#[derive(Debug, Clone, Copy)]
pub enum Question<'q> {
    /// For agents.
    Agents(&'q AgentQuery),
    /// For capabilities.
    Capabilities(&'q CapabilityQuery),
}

/// Everything that a query found.
#[derive(Debug)]
pub struct Found {
    /// Best first.
    pub groups: Vec<Group>,
    /// What the numbers in the groups are.
    pub kind: Kind,
    /// Whether the groups have scores.
    pub is_fuzzy: bool,
}

/// What numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Seats: agents are answered.
    Agents,
    /// Rows: capabilities are answered.
    Capabilities,
}

/// What a query found with one score, or all that it found when it ranks nothing.
#[derive(Debug)]
pub struct Group {
    /// How well they fit, if the query is fuzzy.
    pub score: Option<Score>,
    /// Seats, or rows.
    pub members: RoaringBitmap,
}

impl Question<'_> {
    /// What satisfies the query.
    pub fn find(self, seats: &Seats) -> Found {
        match self {
            Self::Agents(query) => agents(seats, query),
            Self::Capabilities(query) => capabilities(seats, query),
        }
    }

    /// What is asked for.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Agents(_) => Kind::Agents,
            Self::Capabilities(_) => Kind::Capabilities,
        }
    }

    /// What every agent has that the answer shows, if one can tell: of several facets the one that fewest have, as a rule.
    pub fn facet(&self) -> Option<Facet> {
        match self {
            Self::Agents(query) => {
                let exact = (!query.fuzzy_match).then_some(&query.capability);
                let name = query.name.as_ref().filter(|_| !query.fuzzy_match);
                Facet::demanded(Aspect::Id, query.id.as_ref())
                    .or_else(|| Facet::demanded(Aspect::Name, name))
                    .or_else(|| Facet::of_filter(exact?))
                    .or_else(|| Facet::of_selector(query.label_selector.as_ref()?))
                    .or_else(|| Facet::demanded(Aspect::AgentType, query.agent_type.as_ref()))
                    .or_else(|| Facet::demanded(Aspect::Namespace, query.namespace.as_ref()))
            }
            Self::Capabilities(query) => {
                let exact = (!query.fuzzy_match).then_some(&query.capability);
                Facet::demanded(Aspect::Id, query.agent_id.as_ref())
                    .or_else(|| Facet::of_filter(exact?))
                    .or_else(|| Facet::of_selector(query.label_selector.as_ref()?))
                    .or_else(|| Facet::demanded(Aspect::Namespace, query.agent_namespace.as_ref()))
            }
        }
    }

    /// Which part of the answer is wanted.
    pub fn paging(&self) -> &Paging {
        match self {
            Self::Agents(query) => &query.paging,
            Self::Capabilities(query) => &query.paging,
        }
    }
}

/// The agents that satisfy `query`.
pub fn agents(seats: &Seats, query: &AgentQuery) -> Found {
    let (lists, whole) = (&seats.index().agents, &seats.index().agents.whole);
    let mut conditions = Conditions::default();
    if let Some(id) = &query.id {
        conditions.in_range(seats.find(id).map(|seat| seat..seat + 1));
    }
    if let Some(agent_type) = &query.agent_type {
        conditions.in_list(whole.types.get(agent_type));
    }
    if !query.status.is_empty() {
        conditions.in_any_set(whole.in_status(&query.status));
    }
    if let Some(selector) = &query.label_selector {
        conditions.labelled(selector, whole);
    }
    in_namespace(&mut conditions, query.namespace.as_deref(), whole);
    let to_seats = |rows: RoaringBitmap| rows.iter().map(|row| seats.of_row(row)).collect::<RoaringBitmap>();
    if !query.fuzzy_match {
        if let Some(name) = &query.name {
            conditions.in_list(lists.names.exactly(name));
        }
        if !query.capability.is_empty() {
            conditions.in_own(to_seats(exactly(
                &seats.index().rows,
                Conditions::default(),
                &query.capability,
            )));
        }
        return Found::plain(Kind::Agents, conditions.solve(&whole.all));
    }
    let mut rankings = Vec::new();
    if let Some(name) = &query.name {
        let mut found = Vec::new();
        lists.names.like(&Needle::new(name), Field::Name, &mut found);
        rankings.push(Ranked::of_lists(found));
    }
    if !query.capability.is_empty() {
        let rows = roughly(&seats.index().rows, Conditions::default(), &query.capability);
        rankings.push(Ranked::of_numbers(rows.scores().map(|(row, score)| (score, seats.of_row(row)))));
    }
    Found::ranked(Kind::Agents, restricted(rankings, conditions, &whole.all))
}

/// The capabilities that satisfy `query`.
pub fn capabilities(seats: &Seats, query: &CapabilityQuery) -> Found {
    let (lists, whole) = (&seats.index().rows, &seats.index().rows.whole);
    let mut conditions = Conditions::default();
    if let Some(id) = &query.agent_id {
        conditions.in_range(seats.find(id).and_then(|seat| seats.rows(seat)));
    }
    if !query.agent_status.is_empty() {
        conditions.in_any_set(whole.in_status(&query.agent_status));
    }
    if let Some(selector) = &query.label_selector {
        conditions.labelled(selector, whole);
    }
    in_namespace(&mut conditions, query.agent_namespace.as_deref(), whole);
    if let Some(text) = &query.description_contains {
        conditions.in_own(lists.descriptions.with(&text.to_lowercase()));
    }
    if !query.include_deprecated && query.capability.stability != Some(Stability::Deprecated) {
        conditions.not_in_set(lists.stabilities.get(&Stability::Deprecated));
    }
    if query.fuzzy_match {
        Found::ranked(Kind::Capabilities, roughly(lists, conditions, &query.capability))
    } else {
        Found::plain(Kind::Capabilities, exactly(lists, conditions, &query.capability))
    }
}

/// The agents that have a capability which satisfies `query`.
pub fn providers(seats: &Seats, query: &CapabilityQuery) -> Found {
    let groups = capabilities(seats, query).groups;
    let rows = groups.iter().flat_map(|group| &group.members);
    Found::plain(Kind::Agents, rows.map(|row| seats.of_row(row)).collect())
}

fn in_namespace<'i>(conditions: &mut Conditions<'i>, namespace: Option<&str>, whole: &'i Whole) {
    if let Some(namespace) = namespace {
        conditions.in_list(whole.namespaces.get(namespace));
    }
}

/// The rows that are what `filter` says in every detail.
fn exactly<'i>(
    lists: &'i RowLists,
    mut conditions: Conditions<'i>,
    filter: &CapabilityFilter,
) -> RoaringBitmap {
    if let Some(name) = &filter.name {
        conditions.in_list(lists.names.exactly(name));
    }
    if let Some(category) = &filter.category {
        conditions.in_list(lists.categories.exactly(category));
    }
    for tag in &filter.tags {
        conditions.in_list(lists.tags.exactly(tag));
    }
    if let Some(stability) = filter.stability {
        conditions.in_set(lists.stabilities.get(&stability));
    }
    let mut rows = conditions.solve(&lists.whole.all);
    if let Some(constraint) = &filter.version {
        lists.versions.retain(&mut rows, constraint);
    }
    rows
}

/// The rows that are like what `filter` says; stability and version stay exact.
fn roughly<'i>(lists: &'i RowLists, mut conditions: Conditions<'i>, filter: &CapabilityFilter) -> Ranked {
    if let Some(stability) = filter.stability {
        conditions.in_set(lists.stabilities.get(&stability));
    }
    let mut rankings = Vec::new();
    if let Some(name) = &filter.name {
        let (needle, mut found) = (Needle::new(name), Vec::new());
        lists.names.like(&needle, Field::Name, &mut found);
        // Everything has a name, so where anything will do, nothing more can be found.
        if !needle.is_anything() {
            lists.tags.like(&needle, Field::Tag, &mut found);
            lists.categories.like(&needle, Field::Category, &mut found);
            lists.descriptions.like(&needle, Field::Description, &mut found);
        }
        rankings.push(Ranked::of_lists(found));
    }
    if let Some(category) = &filter.category {
        let mut found = Vec::new();
        lists.categories.like(&Needle::new(category), Field::Name, &mut found);
        rankings.push(Ranked::of_lists(found));
    }
    if !filter.tags.is_empty() {
        let mut found = Vec::new();
        let needles = filter.tags.iter().map(|tag| Needle::new(tag));
        needles.for_each(|needle| lists.tags.like(&needle, Field::Name, &mut found));
        rankings.push(Ranked::of_lists(found));
    }
    let mut ranked = restricted(rankings, conditions, &lists.whole.all);
    if let Some(constraint) = &filter.version {
        ranked.restrict(|rows| lists.versions.retain(rows, constraint));
    }
    ranked
}

/// The mean of `rankings` for those that meet `conditions`. Where nothing ranks, everybody fits equally well.
fn restricted(rankings: Vec<Ranked>, conditions: Conditions<'_>, all: &RoaringBitmap) -> Ranked {
    if rankings.is_empty() {
        return Ranked::of_set(Score::BEST, conditions.solve(all));
    }
    let mut ranked = Ranked::mean(rankings);
    if conditions.are_any() {
        let met = conditions.solve(all);
        ranked.restrict(|numbers| *numbers &= &met);
    }
    ranked
}

// === impl Found ===

impl Found {
    fn plain(kind: Kind, members: RoaringBitmap) -> Self {
        Self { groups: vec![Group { score: None, members }], kind, is_fuzzy: false }
    }

    fn ranked(kind: Kind, ranked: Ranked) -> Self {
        let groups = ranked.into_groups().into_iter();
        let groups = groups.map(|(score, members)| Group { score: Some(score), members }).collect();
        Self { groups, kind, is_fuzzy: true }
    }
}
