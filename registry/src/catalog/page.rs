//! Cuts one page out of what a query found, and makes the opaque token that continues behind it. Pure.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_api::error::Fault;
use mesh_api::query::Paging;
use roaring::RoaringBitmap;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::fuzzy::Score;
use super::hit::Hit;
use super::query::{Found, Group, Kind};
use super::seats::Seats;

/// From how large a share of everything on (one in so many) a page is gathered by walking in the order of ids rather
/// than by sorting what was found.
const WALKED_SHARE: u64 = 8;

/// Most steps of such a walk for each row that is wanted: members may lie far from where it begins.
const MAX_STEPS: usize = 4 * WALKED_SHARE as usize;

/// One page of hits.
#[derive(Debug)]
pub struct Page {
    /// The hits, in the order of the answer.
    pub hits: Vec<Hit>,
    /// Hits of all pages.
    pub total: u64,
    /// Continues behind the last hit; `None` on the last page.
    pub continue_token: Option<String>,
}

/// The place of the last hit of a page. Names what was seen, not how many: changes in between lose and repeat nothing.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cursor {
    score: Option<u16>,
    agent: String,
    capability: Option<(String, Version)>,
}

/// A place in the order of ids and rows: the label of a seat, and a row.
type Place = (u64, u32);

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
struct Start<'c> {
    place: Place,
    /// An id that does not come behind it.
    id: Option<&'c str>,
}

impl Start<'_> {
    const FIRST: Self = Self { place: (0, 0), id: None };
}

impl Page {
    /// Cuts the page that is wanted out of `groups`, which come best first.
    ///
    /// # Errors
    /// When the token was not given out for this kind of query.
    pub fn cut(seats: &Seats, found: &Found, paging: &Paging) -> Result<Self, Fault> {
        let Found { groups, kind, is_fuzzy } = found;
        let (kind, token) = (*kind, paging.continue_token.as_deref());
        let cursor = token.map(|token| Cursor::read(token, kind, *is_fuzzy)).transpose()?;
        let limit = paging.limit.unwrap_or(usize::MAX);
        let mut hits = Vec::new();
        for group in groups {
            // One more than the limit, to know whether there is another page.
            let room = limit.saturating_add(1) - hits.len();
            let Some(start) = begin(group, cursor.as_ref(), seats, kind).filter(|_| room > 0) else {
                continue;
            };
            let members = select(seats, &group.members, kind, start, room);
            hits.extend(members.into_iter().filter_map(|number| hit(seats, number, kind, group.score)));
        }
        let is_last = hits.len() <= limit;
        hits.truncate(limit);
        let continue_token = hits.last().filter(|_| !is_last).map(|hit| Cursor::at(hit).encode());
        Ok(Self { hits, total: groups.iter().map(|group| group.members.len()).sum(), continue_token })
    }
}

/// Where the page begins in a group; `None` when pages before have had the whole group.
fn begin<'c>(group: &Group, cursor: Option<&'c Cursor>, seats: &Seats, kind: Kind) -> Option<Start<'c>> {
    let Some(cursor) = cursor else { return Some(Start::FIRST) };
    match group.score.cmp(&cursor.score.and_then(Score::from_parts)) {
        Ordering::Greater => None,
        Ordering::Less => Some(Start::FIRST),
        Ordering::Equal => Some(Start { place: cursor.behind(seats, kind)?, id: Some(&cursor.agent) }),
    }
}

/// The first `room` members in the order of answers.
fn select(seats: &Seats, members: &RoaringBitmap, kind: Kind, start: Start<'_>, room: usize) -> Vec<u32> {
    let place = |number: u32| match kind {
        Kind::Agents => (seats.order().label(number), 0),
        Kind::Capabilities => (seats.order().label(seats.of_row(number)), number),
    };
    let everything = match kind {
        Kind::Agents => seats.count() as u64,
        Kind::Capabilities => seats.index().rows.whole.all.len(),
    };
    if room < usize::MAX && members.len().saturating_mul(WALKED_SHARE) > everything {
        let from = walk(seats, kind, start.id).skip_while(|number| place(*number) < start.place);
        let steps = from.take(room.saturating_mul(MAX_STEPS));
        let walked = steps.filter(|number| members.contains(*number)).take(room).collect::<Vec<_>>();
        if walked.len() == room {
            return walked;
        }
    }
    let placed = members.iter().map(|number| (place(number), number));
    let mut placed = placed.filter(|(place, _)| *place >= start.place).collect::<Vec<_>>();
    if room < placed.len() {
        placed.select_nth_unstable(room);
        placed.truncate(room);
    }
    placed.sort_unstable();
    placed.into_iter().map(|(_, number)| number).collect()
}

/// Everything there is in the order of answers, from an id on.
fn walk<'s>(seats: &'s Seats, kind: Kind, from: Option<&str>) -> Box<dyn Iterator<Item = u32> + 's> {
    let all = seats.order().seats(from);
    match kind {
        Kind::Agents => Box::new(all),
        Kind::Capabilities => Box::new(all.filter_map(|seat| seats.rows(seat)).flatten()),
    }
}

fn hit(seats: &Seats, number: u32, kind: Kind, score: Option<Score>) -> Option<Hit> {
    let seat = match kind {
        Kind::Agents => number,
        Kind::Capabilities => seats.of_row(number),
    };
    let seated = seats.at(seat)?;
    let capability = match kind {
        Kind::Agents => None,
        Kind::Capabilities => Some(number - seats.rows(seat)?.start),
    };
    Some(Hit { record: seated.record.clone(), status: seated.status, capability, score })
}

// === impl Cursor ===

impl Cursor {
    /// Reads a token that was given out for a query of the same kind.
    fn read(token: &str, kind: Kind, is_fuzzy: bool) -> Result<Self, Fault> {
        let fits = |cursor: &Self| {
            cursor.score.is_some() == is_fuzzy && cursor.capability.is_some() == (kind == Kind::Capabilities)
        };
        let cursor = Self::decode(token).filter(fits);
        cursor.ok_or_else(|| Fault::new("continue", "is not a token from an answer to this query"))
    }

    fn at(hit: &Hit) -> Self {
        let capability = hit.capability.and_then(|index| hit.record.capability(index as usize));
        Self { score: hit.score.map(Score::parts), agent: hit.record.id().to_owned(), capability }
    }

    /// The place right behind the one it names; `None` when nothing comes there.
    fn behind(&self, seats: &Seats, kind: Kind) -> Option<Place> {
        let next_agent = || seats.order().behind(&self.agent).map(|seat| (seats.order().label(seat), 0));
        let same_agent = || {
            let last = self.capability.as_ref().filter(|_| kind == Kind::Capabilities)?;
            let seat = seats.find(&self.agent)?;
            let record = &seats.at(seat)?.record;
            let seen =
                (0..).map_while(|index| record.capability(index)).take_while(|one| one <= last).count();
            seats.rows(seat)?.nth(seen).map(|row| (seats.order().label(seat), row))
        };
        same_agent().or_else(next_agent)
    }

    fn encode(&self) -> String {
        // Strings, numbers and versions have no way not to become JSON.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(token: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_place(
            score in prop::option::of(1u16..=10_000), agent in "[a-z:._-]{1,20}", capability in prop::option::of("[a-z]{1,9}")
        ) {
            let capability = capability.map(|name| (name, Version::new(1, 2, 3)));
            let cursor = Cursor { score, agent, capability };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn no_text_makes_the_decoder_panic(token in ".{0,40}") {
            let _ = Cursor::decode(&token);
        }
    }
}
