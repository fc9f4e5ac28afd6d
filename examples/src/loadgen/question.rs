//! What a fleet is asked for: the classes of queries, and the targets of each.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use form_urlencoded::Serializer;
use http::header::ETAG;
use http::{HeaderValue, Uri};
use serde_json::Value;

use super::dice::Dice;
use super::fleet::Fleet;
use super::wire::{Base, Connection};
use super::words;

/// Most targets of a class. Fewer than a registry remembers answers: how much it gains by that shows beside one that is
/// told to remember none.
const TARGETS: usize = 200;
/// Targets of answers that cost much: with every row each of them is a megabyte at 100,000 agents, which the floor holds
/// in memory, and a fuzzy one may look at every name.
const COSTLY_TARGETS: usize = 40;
/// Questions of which at least one must find something.
const SAMPLE: usize = 20;
/// Versions that are asked for.
const CONSTRAINTS: [&str; 4] = ["^2", "^1.2", ">=1.5,<3", "~3.4"];
/// Where the rows of an answer stand.
const ROWS: [&str; 2] = ["capabilities", "agents"];

/// A kind of query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Class {
    /// Capabilities by their name.
    Exact,
    /// Capabilities by their name, every row of them.
    Whole,
    /// Agents by a label selector.
    Label,
    /// Capabilities by their name and a version constraint.
    Semver,
    /// Capabilities by their category.
    Category,
    /// Capabilities by a mistyped name.
    Fuzzy,
    /// Agents, page after page.
    Page,
    /// Capabilities by their name, when the answer is known already.
    Conditional,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// Path and query.
    pub target: Uri,
    /// The answer that is known already.
    pub etag: Option<HeaderValue>,
}

impl Class {
    /// The classes for which a floor makes sense: what they are answered does not depend on what was answered before.
    pub const PLAIN: [Self; 7] =
        [Self::Exact, Self::Whole, Self::Label, Self::Semver, Self::Category, Self::Page, Self::Fuzzy];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Whole => "whole",
            Self::Label => "label",
            Self::Semver => "semver",
            Self::Category => "category",
            Self::Fuzzy => "fuzzy",
            Self::Page => "page",
            Self::Conditional => "conditional",
        }
    }

    /// The questions of this class about `fleet`, which the registry at `base` must know. Each page has `limit` rows.
    ///
    /// # Errors
    /// When the registry answers none of them with a row, or does not send what the class needs.
    pub async fn questions(self, base: &Base, fleet: Fleet, limit: usize) -> anyhow::Result<Vec<Question>> {
        let mut connection = Connection::to(base);
        let questions = match self {
            Self::Page => pages(&mut connection, limit).await?,
            Self::Conditional => known(&mut connection, self.targets(fleet, limit)?).await?,
            _ => self
                .targets(fleet, limit)?
                .into_iter()
                .map(|target| Question { target, etag: None })
                .collect(),
        };
        for question in questions.iter().take(SAMPLE) {
            if rows(&connection.fetch(&question.target).await?.body)? > 0 {
                return Ok(questions);
            }
        }
        bail!("{} queries find nothing: is this fleet there, and was it heard?", self.name())
    }

    /// The targets that follow from the fleet alone.
    fn targets(self, fleet: Fleet, limit: usize) -> anyhow::Result<Vec<Uri>> {
        let mut dice = Dice::new(fleet.seed, self as u64);
        let is_costly = matches!(self, Self::Whole | Self::Fuzzy);
        let wanted = if is_costly { COSTLY_TARGETS } else { TARGETS };
        let mut seen = BTreeSet::new();
        // A small fleet has fewer; so there is an end to the search.
        let drawn = (0..wanted * 10).map(|_| self.target(fleet, limit, &mut dice));
        drawn
            .filter(|target| seen.insert(target.clone()))
            .take(wanted)
            .map(|target| Ok(target.parse()?))
            .collect()
    }

    fn target(self, fleet: Fleet, limit: usize, dice: &mut Dice) -> String {
        let agent = dice.below(fleet.agents.max(1) as u64) as usize;
        let name = fleet.name(agent, dice.below(u64::from(fleet.capabilities)) as u16);
        let mut query = Serializer::new(String::new());
        match self {
            Self::Label => query.append_pair("label_selector", &selector(dice)),
            Self::Category => query.append_pair("category", dice.pick(&words::CATEGORIES)),
            Self::Fuzzy => {
                query.append_pair("fuzzy_match", "true").append_pair("name", &mistyped(&name, dice))
            }
            _ => query.append_pair("name", &name),
        };
        if self == Self::Semver {
            query.append_pair("version_constraint", dice.pick(&CONSTRAINTS));
        }
        if self != Self::Whole {
            query.append_pair("limit", &limit.to_string());
        }
        let path = if self == Self::Label { "agents" } else { "capabilities" };
        format!("/{path}?{}", query.finish())
    }
}

/// A selector that chooses one agent in fifty or so.
fn selector(dice: &mut Dice) -> String {
    let environment = dice.pick(&words::ENVIRONMENTS);
    let first = dice.below(words::TEAMS.len() as u64) as usize;
    let second = (first + 1 + dice.below(words::TEAMS.len() as u64 - 1) as usize) % words::TEAMS.len();
    format!("env={environment},team in ({},{})", words::TEAMS[first], words::TEAMS[second])
}

/// `name` with one typo, not in its first letter: two letters exchanged, one forgotten, one doubled, or a wrong one.
fn mistyped(name: &str, dice: &mut Dice) -> String {
    let mut letters = name.chars().collect::<Vec<_>>();
    let at = 1 + dice.below(letters.len().max(3) as u64 - 2) as usize;
    match dice.below(4) {
        // Two equal letters cannot be exchanged so that anybody sees it.
        0 if letters[at] != letters[at + 1] => letters.swap(at, at + 1),
        0 | 1 => drop(letters.remove(at)),
        2 => letters.insert(at, letters[at]),
        _ => letters[at] = if letters[at] == 'x' { 'q' } else { 'x' },
    }
    letters.into_iter().collect()
}

/// Walks from page to page as a client would, at most [`TARGETS`] of them.
async fn pages(connection: &mut Connection, limit: usize) -> anyhow::Result<Vec<Question>> {
    let mut questions = Vec::new();
    let mut target = format!("/agents?limit={limit}");
    loop {
        questions.push(Question { target: target.parse()?, etag: None });
        let answer = connection.fetch(&target.parse()?).await?;
        let answer: Value = serde_json::from_slice(&answer.body)?;
        match answer["continue"].as_str().filter(|_| questions.len() < TARGETS) {
            Some(token) => {
                let mut query = Serializer::new(String::new());
                query.append_pair("limit", &limit.to_string()).append_pair("continue", token);
                target = format!("/agents?{}", query.finish());
            }
            None => return Ok(questions),
        }
    }
}

/// Asks once, so that the next time only what is new is wanted.
async fn known(connection: &mut Connection, targets: Vec<Uri>) -> anyhow::Result<Vec<Question>> {
    let mut questions = Vec::new();
    for target in targets {
        let answer = connection.fetch(&target).await?;
        let etag = answer.headers.get(ETAG).cloned();
        let etag = Some(etag.with_context(|| format!("{target} is answered without an ETag"))?);
        questions.push(Question { target, etag });
    }
    Ok(questions)
}

/// How many rows an answer has.
fn rows(body: &[u8]) -> anyhow::Result<usize> {
    let answer: Value = serde_json::from_slice(body)?;
    Ok(ROWS.iter().filter_map(|rows| answer[rows].as_array()).map(Vec::len).sum())
}

#[cfg(test)]
mod tests {
    use mesh_api::query::{AgentQuery, CapabilityQuery};

    use super::*;

    const FLEET: Fleet = Fleet { agents: 5_000, capabilities: 3, seed: 1, distinct: false };

    #[test]
    fn every_target_is_a_query_that_the_registry_reads() {
        for class in Class::PLAIN {
            for target in class.targets(FLEET, 20).unwrap() {
                let (path, query) = (target.path(), target.query().unwrap());
                let read = match path {
                    "/agents" => AgentQuery::parse(query).map(drop),
                    _ => CapabilityQuery::parse(query).map(drop),
                };
                assert_eq!(read, Ok(()), "{target}");
            }
        }
    }

    #[test]
    fn targets_are_many_different_and_the_same_each_time() {
        for (class, least) in
            [(Class::Exact, 150), (Class::Label, 150), (Class::Fuzzy, 40), (Class::Category, 10)]
        {
            let targets = class.targets(FLEET, 20).unwrap();
            let different = targets.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            assert!(
                targets.len() >= least && different.len() == targets.len(),
                "{class:?}: {}",
                targets.len()
            );
            assert_eq!(targets, class.targets(FLEET, 20).unwrap());
        }
    }

    #[test]
    fn a_mistyped_name_is_another_one_that_differs_little() {
        let mut dice = Dice::new(3, 0);
        for number in 0..words::SHARED_NAMES {
            let name = words::shared_name(number);
            let typed = mistyped(&name, &mut dice);
            assert_ne!(typed, name);
            assert!(typed.len().abs_diff(name.len()) <= 1 && typed[..1] == name[..1], "{typed} for {name}");
        }
    }

    #[test]
    fn rows_are_counted_on_both_routes() {
        assert_eq!(rows(br#"{"agents": [{}, {}], "count": 2}"#).unwrap(), 2);
        assert_eq!(rows(br#"{"capabilities": [{}]}"#).unwrap(), 1);
        assert_eq!(rows(b"{}").unwrap(), 0);
    }
}
