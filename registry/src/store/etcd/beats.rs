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
    /// How long its replica had been running, in milliseconds: no clock that anybody sets.
    #[prost(uint64, tag = "4")]
    pub(super) uptime: u64,
    /// Whether more parts of the same flush follow.
    #[prost(bool, tag = "5")]
    pub(super) more: bool,
}

/// When one agent was heard.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Heard {
    #[prost(string, tag = "1")]
    id: String,
    /// For how long it had been silent at the flush, in milliseconds. A registry that has restarted, or taken over from
    /// one that is gone, counts that anew.
    #[prost(uint64, tag = "2")]
    ago: u64,
    #[prost(uint64, tag = "3")]
    life: u64,
    #[prost(uint32, tag = "4")]
    reported: u32,
    #[prost(string, tag = "5")]
    said: String,
    /// When it was heard by the clock, in milliseconds before the flush.
    #[prost(uint64, tag = "6")]
    age: u64,
    /// The same by a clock that nobody sets; 0 when it is as long as the silence.
    #[prost(uint64, tag = "7")]
    heard: u64,
}

/// What of a flush its own replica wants to know, and what is known before the flush is read: the rest is passed over.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Head {
    #[prost(uint64, tag = "2")]
    pub(super) announced: u64,
    #[prost(uint64, tag = "4")]
    pub(super) uptime: u64,
}

/// When a flush was made: by our clock, and by how long we have been running.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) wall: i64,
    pub(super) uptime: Duration,
}

/// How what a flush says is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The time by our clock.
    pub(super) wall: i64,
    /// Time since the flush.
    pub(super) since: Duration,
    /// The number of its replica; `None` when that is gone, so that it is not known how long ago the flush was.
    pub(super) replica: Option<u32>,
}

/// The parts of a flush at `now`, each small enough for one value; at least one, and as many as `announced`
/// changes need, of which each part can bring `most`. Each with how many it brings.
pub(super) fn pack(beats: &Beats, now: Moment, mut announced: u64, most: u64) -> Vec<(u64, Bytes)> {
    let part = || Flush { at: now.wall, uptime: millis(now.uptime), more: true, ..Flush::default() };
    let mut parts = vec![part()];
    let mut size = 0;
    for (id, beat) in beats {
        let heard = Heard::of(id, beat, now.wall);
        size += heard.encoded_len() + 8;
        if size > MAX_VALUE && parts.last().is_some_and(|part| !part.heard.is_empty()) {
            size = heard.encoded_len() + 8;
            parts.push(part());
        }
        if let Some(part) = parts.last_mut() {
            part.heard.push(heard);
        }
    }
    let needed = usize::try_from(announced.div_ceil(most)).unwrap_or(usize::MAX);
    parts.resize_with(parts.len().max(needed), part);
    if let Some(last) = parts.last_mut() {
        last.more = false;
    }
    // The last ones bring them: by then all that was heard has been told.
    for part in parts.iter_mut().rev() {
        part.announced = announced.min(most);
        announced -= part.announced;
    }
    parts.iter().map(|part| (part.announced, part.encode_to_vec().into())).collect()
}

impl Flush {
    /// The signs of life, with their times by our clock unless the replica is gone.
    pub(super) fn unpack(self, reading: Reading) -> impl Iterator<Item = (String, Beat)> {
        let (at, Reading { wall, since, replica }) = (self.at, reading);
        self.heard.into_iter().map(move |heard| {
            let when = if heard.heard == 0 { heard.ago } else { heard.heard };
            let now = if replica.is_some() { wall.saturating_sub(signed(millis(since))) } else { at };
            let beat = Beat {
                at: now.saturating_sub(signed(heard.age)),
                life: heard.life,
                reported: reported(heard.reported),
                said: (!heard.said.is_empty()).then(|| heard.said.into()),
                via: replica.map(|replica| Via {
                    replica,
                    ago: Duration::from_millis(heard.ago).saturating_add(since),
                    heard: Duration::from_millis(when).saturating_add(since),
                }),
            };
            (heard.id, beat)
        })
    }
}

impl Heard {
    fn of(id: &str, beat: &Beat, now: i64) -> Self {
        let age = u64::try_from(now.saturating_sub(beat.at)).unwrap_or(0);
        let ago = beat.via.map_or(age, |via| millis(via.ago));
        let heard = beat.via.map_or(ago, |via| millis(via.heard));
        Self {
            id: id.to_owned(),
            ago,
            heard: if heard == ago { 0 } else { heard },
            life: beat.life,
            reported: beat.reported as u32,
            said: beat.said.as_deref().unwrap_or_default().to_owned(),
            age,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn reported(number: u32) -> Reported {
    Reported::ALL.into_iter().find(|one| *one as u32 == number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;
    const MOMENT: Moment = Moment { wall: NOW, uptime: Duration::from_secs(9) };

    fn beat(at: i64, said: Option<&str>) -> Beat {
        Beat { at, life: 9, reported: Reported::Draining, said: said.map(Into::into), via: None }
    }

    #[test]
    fn times_survive_a_clock_that_is_half_a_minute_off() {
        let beats = Beats::from([("a".to_owned(), beat(NOW - 700, Some("{}")))]);
        let flush = || Flush::decode(pack(&beats, MOMENT, 0, 10)[0].1.clone()).unwrap();
        let theirs = NOW - 30_000;
        let reading = Reading { wall: theirs, since: Duration::from_millis(50), replica: Some(3) };
        let (id, heard) = flush().unpack(reading).next().unwrap();
        let ago = Duration::from_millis(750);
        let via = Via { replica: 3, ago, heard: ago };
        assert_eq!((id.as_str(), heard.via), ("a", Some(via)));
        let said = heard.said.as_deref();
        assert_eq!((heard.at, heard.reported, said), (theirs - 750, Reported::Draining, Some("{}")));
        // Of a replica that is gone it is only known what its own clock showed.
        let gone = flush().unpack(Reading { replica: None, ..reading }).next().unwrap().1;
        assert_eq!((gone.at, gone.via), (NOW - 700, None));
    }

    #[test]
    fn a_silence_that_is_counted_anew_does_not_make_the_heartbeat_younger() {
        let [ago, silence] = [700, 20].map(Duration::from_millis);
        let via = Some(Via { replica: 0, ago: silence, heard: ago });
        let beats = Beats::from([("a".to_owned(), Beat { via, ..beat(NOW - 700, None) })]);
        let flush = Flush::decode(pack(&beats, MOMENT, 0, 10)[0].1.clone()).unwrap();
        let reading = Reading { wall: NOW, since: silence, replica: Some(3) };
        let heard = flush.unpack(reading).next().unwrap().1;
        let via = Via { replica: 3, ago: silence * 2, heard: ago + silence };
        assert_eq!((heard.at, heard.via), (NOW - 720, Some(via)));
    }

    #[test]
    fn hostile_times_are_only_wrong() {
        let heard = Heard { id: "a".to_owned(), ago: u64::MAX, age: u64::MAX, ..Heard::default() };
        let flush = Flush { at: i64::MIN, heard: vec![heard], ..Flush::default() };
        let reading = Reading { wall: i64::MIN, since: Duration::MAX, replica: Some(1) };
        assert_eq!(flush.unpack(reading).next().unwrap().1.at, i64::MIN);
    }

    #[test]
    fn what_is_too_much_for_one_value_comes_in_parts() {
        let said = "x".repeat(400_000);
        let beats = Beats::from_iter((0..6).map(|i| (format!("agent-{i}"), beat(NOW, Some(&said)))));
        let parts = pack(&beats, MOMENT, 0, 10);
        assert!(parts.iter().all(|(_, part)| part.len() <= MAX_VALUE) && parts.len() == 3, "{}", parts.len());
        let more = parts.into_iter().map(|(_, part)| Flush::decode(part).unwrap().more);
        assert!(more.eq([true, true, false]));
    }

    #[test]
    fn changes_of_health_are_announced_last_and_no_more_than_fit_a_part() {
        let announced = |changes| {
            let parts = pack(&Beats::new(), MOMENT, changes, 10);
            parts.into_iter().map(|(_, part)| Head::decode(part).unwrap().announced).collect::<Vec<_>>()
        };
        assert_eq!((announced(0), announced(10), announced(23)), (vec![0], vec![10], vec![3, 10, 10]));
    }
}
