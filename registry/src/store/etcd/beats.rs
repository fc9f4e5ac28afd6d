//! Signs of life on their way from one replica to the others: packed, with times relative to the flush, so that clocks
//! need not agree.

use std::time::Duration;

use bytes::Bytes;
use mesh_api::health::Reported;
use prost::Message;

use crate::store::change::{Beat, Beats, Via};

/// Most bytes of one value: etcd takes requests of 1.5 MB, unless it is told otherwise.
const MAX_VALUE: usize = 1024 * 1024;

/// One flush, or a part of one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Flush {
    /// When it was made, by its replica's clock, in milliseconds since 1970.
    #[prost(int64, tag = "1")]
    pub(super) at: i64,
    /// How many changes of health its replica announces with it.
    #[prost(uint64, tag = "2")]
    pub(super) announced: u64,
    #[prost(message, repeated, tag = "3")]
    pub(super) heard: Vec<Heard>,
}

/// When one agent was heard.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Heard {
    #[prost(string, tag = "1")]
    id: String,
    /// Milliseconds before the flush.
    #[prost(uint64, tag = "2")]
    ago: u64,
    #[prost(uint64, tag = "3")]
    life: u64,
    #[prost(uint32, tag = "4")]
    reported: u32,
    #[prost(string, tag = "5")]
    said: String,
}

/// What of a flush its own replica wants to know: the rest is passed over.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Head {
    #[prost(uint64, tag = "2")]
    pub(super) announced: u64,
}

/// The parts of a flush at `now`, by our clock, each small enough for one value; at least one, and as many as `announced`
/// changes need, of which each part can bring `most`. Each with how many it brings.
pub(super) fn pack(beats: &Beats, now: i64, mut announced: u64, most: u64) -> Vec<(u64, Bytes)> {
    let mut parts = vec![Flush { at: now, ..Flush::default() }];
    let mut size = 0;
    for (id, beat) in beats {
        let heard = Heard::of(id, beat, now);
        size += heard.encoded_len() + 8;
        if size > MAX_VALUE && parts.last().is_some_and(|part| !part.heard.is_empty()) {
            size = heard.encoded_len() + 8;
            parts.push(Flush { at: now, ..Flush::default() });
        }
        if let Some(part) = parts.last_mut() {
            part.heard.push(heard);
        }
    }
    let needed = usize::try_from(announced.div_ceil(most)).unwrap_or(usize::MAX);
    parts.resize_with(parts.len().max(needed), || Flush { at: now, ..Flush::default() });
    // The last ones bring them: by then all that was heard has been told.
    for part in parts.iter_mut().rev() {
        part.announced = announced.min(most);
        announced -= part.announced;
    }
    parts.iter().map(|part| (part.announced, part.encode_to_vec().into())).collect()
}

impl Flush {
    /// The signs of life with their times by our clock, which shows `now`. Since the flush, `since` has passed; its
    /// replica is number `replica`, or is not there any more.
    pub(super) fn unpack(
        self,
        now: i64,
        since: Duration,
        replica: Option<u32>,
    ) -> impl Iterator<Item = (String, Beat)> {
        let at = self.at;
        self.heard.into_iter().map(move |heard| {
            let ago = Duration::from_millis(heard.ago) + since;
            let by_our_clock = now - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            let by_its_clock = at - i64::try_from(heard.ago).unwrap_or(i64::MAX);
            let beat = Beat {
                at: if replica.is_some() { by_our_clock } else { by_its_clock },
                life: heard.life,
                reported: reported(heard.reported),
                said: (!heard.said.is_empty()).then(|| heard.said.into()),
                via: replica.map(|replica| Via { replica, ago }),
            };
            (heard.id, beat)
        })
    }
}

impl Heard {
    fn of(id: &str, beat: &Beat, now: i64) -> Self {
        let by_clock = || u64::try_from(now - beat.at).unwrap_or(0);
        Self {
            id: id.to_owned(),
            ago: beat.via.map_or_else(by_clock, |via| u64::try_from(via.ago.as_millis()).unwrap_or(u64::MAX)),
            life: beat.life,
            reported: beat.reported as u32,
            said: beat.said.as_deref().unwrap_or_default().to_owned(),
        }
    }
}

fn reported(number: u32) -> Reported {
    Reported::ALL.into_iter().find(|one| *one as u32 == number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn beat(at: i64, said: Option<&str>) -> Beat {
        Beat { at, life: 9, reported: Reported::Draining, said: said.map(Into::into), via: None }
    }

    #[test]
    fn times_survive_a_clock_that_is_half_a_minute_off() {
        let beats = Beats::from([("a".to_owned(), beat(NOW - 700, Some("{}")))]);
        let packed = pack(&beats, NOW, 0, 10);
        let theirs = NOW - 30_000;
        let flush = Flush::decode(packed[0].1.clone()).unwrap();
        let (id, heard) = flush.unpack(theirs, Duration::from_millis(50), Some(3)).next().unwrap();
        let via = Via { replica: 3, ago: Duration::from_millis(750) };
        assert_eq!((id.as_str(), heard.via), ("a", Some(via)));
        assert_eq!(
            (heard.at, heard.reported, heard.said.as_deref()),
            (theirs - 750, Reported::Draining, Some("{}"))
        );
    }

    #[test]
    fn what_is_too_much_for_one_value_comes_in_parts() {
        let said = "x".repeat(400_000);
        let beats = Beats::from_iter((0..6).map(|i| (format!("agent-{i}"), beat(NOW, Some(&said)))));
        let parts = pack(&beats, NOW, 0, 10);
        assert!(parts.iter().all(|(_, part)| part.len() <= MAX_VALUE) && parts.len() == 3, "{}", parts.len());
    }

    #[test]
    fn changes_of_health_are_announced_last_and_no_more_than_fit_a_part() {
        let announced = |changes| {
            let parts = pack(&Beats::new(), NOW, changes, 10);
            parts.into_iter().map(|(_, part)| Head::decode(part).unwrap().announced).collect::<Vec<_>>()
        };
        assert_eq!((announced(0), announced(10), announced(23)), (vec![0], vec![10], vec![3, 10, 10]));
    }
}
