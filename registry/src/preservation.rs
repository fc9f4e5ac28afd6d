//! The registry never expires a fleet because of itself.
//!
//! When most agents are silent at the same time, the likelier cause is this registry's own network or host. So expiry
//! has a horizon: an agent whose eviction falls due later than the horizon has not expired, however silent it is. The
//! sweeper moves the horizon forward at every tick, unless more than half of at least [`SMALLEST_FLEET`] agents are
//! silent beyond their timeout. Heartbeats are spread over an interval and evictions too, but the timeouts of all have
//! passed before the first eviction falls due; agents without that distance between the two are counted when they have
//! expired at the tick before, and taken back. The horizon stands still, and the silent agents stay `degraded`, until
//! at most half of them are silent, or until `patience` has passed and they are believed to be gone. It also stands
//! still while the store cannot be written, or while what other registries hear may be missing, because a registry in
//! trouble is a bad witness.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// Fewer agents than this may fall silent together for reasons of their own.
pub const SMALLEST_FLEET: usize = 20;

/// Decides how far expiry has come.
#[derive(Debug)]
pub struct Preservation {
    /// The horizon of the tick before, to which expiry is taken back when the fleet falls.
    previous: Instant,
    horizon: Instant,
    freeze: Option<Freeze>,
    /// Since when most of the fleet is silent, whatever else is wrong.
    fallen: Option<Instant>,
    patience: Duration,
}

/// Expiry stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeze {
    /// Since when.
    pub since: Instant,
    /// Why.
    pub reason: Reason,
}

/// Why expiry stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Most agents fell silent together.
    FleetSilent,
    /// The store cannot be written.
    StoreUnreachable,
    /// The store does not tell what others write.
    StoreBehind,
    /// Another registry does not tell whom it hears.
    RegistrySilent,
}

impl Reason {
    /// Whether the store cannot be reached.
    pub fn is_of_the_store(self) -> bool {
        matches!(self, Self::StoreUnreachable | Self::StoreBehind)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FleetSilent => "most agents fell silent at the same moment",
            Self::StoreUnreachable => "the store cannot be written",
            Self::StoreBehind => "the store does not tell what other registries write",
            Self::RegistrySilent => "another registry does not tell whom it hears",
        })
    }
}

impl Preservation {
    /// Starts with nothing expired before `now`; a silent fleet is believed to be gone after `patience`.
    pub fn new(now: Instant, patience: Duration) -> Self {
        Self { previous: now, horizon: now, freeze: None, fallen: None, patience }
    }

    /// Moves the horizon to `now`, or freezes it. Of `fleet` agents that have not expired before [`Self::window`],
    /// `silent` are silent beyond their timeout. `blind` says why this registry is no witness, if it is none.
    pub fn sweep(&mut self, now: Instant, fleet: usize, silent: usize, blind: Option<Freeze>) {
        let is_fallen = fleet >= SMALLEST_FLEET && silent * 2 > fleet;
        self.fallen = is_fallen.then(|| self.fallen.unwrap_or(now));
        let waited_for = self.fallen.filter(|since| now.saturating_duration_since(*since) < self.patience);
        match blind.or(waited_for.map(|since| Freeze { since, reason: Reason::FleetSilent })) {
            Some(freeze) => self.hold(freeze),
            None => self.advance(now),
        }
    }

    /// The moment to which expiry may be taken back: who expired later counts as of the fleet.
    pub fn window(&self) -> Instant {
        self.previous
    }

    /// Agents whose eviction falls due later than this have not expired.
    pub fn horizon(&self) -> Instant {
        self.horizon
    }

    /// Why expiry stands still, if it does.
    pub fn freeze(&self) -> Option<Freeze> {
        self.freeze
    }

    fn hold(&mut self, freeze: Freeze) {
        self.horizon = self.previous;
        match self.freeze {
            // How far behind the store is changes, the others last from when they began.
            Some(known) if known.reason == freeze.reason && freeze.reason != Reason::StoreBehind => {}
            _ => self.freeze = Some(freeze),
        }
    }

    /// After a freeze the window starts afresh: those who expire now must not freeze the next tick.
    fn advance(&mut self, now: Instant) {
        let thawed = self.freeze.take().is_some();
        self.previous = if thawed { now } else { self.horizon };
        self.horizon = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(3600);

    /// Sweeps at each second from 1 to `until`, with the same `dues` (in seconds) throughout.
    fn swept(dues: &[u32], until: u32) -> (Instant, Preservation) {
        let start = Instant::now();
        let mut preservation = Preservation::new(start, PATIENCE);
        for second in 1..=until {
            sweep(&mut preservation, start, second, dues, None);
        }
        (start, preservation)
    }

    fn sweep(
        preservation: &mut Preservation,
        start: Instant,
        second: u32,
        dues: &[u32],
        blind: Option<Reason>,
    ) {
        let now = start + SECOND * second;
        let dues = dues.iter().map(|due| start + SECOND * *due).filter(|due| *due > preservation.window());
        let silent = dues.clone().filter(|due| *due <= now).count();
        let fleet = dues.count();
        preservation.sweep(now, fleet, silent, blind.map(|reason| Freeze { since: now, reason }));
    }

    #[test]
    fn a_few_silent_agents_expire() {
        let mut dues = vec![5; 10];
        dues.extend([500; 10]);
        let (start, preservation) = swept(&dues, 6);
        assert_eq!((preservation.horizon(), preservation.freeze()), (start + SECOND * 6, None));
    }

    #[test]
    fn a_small_fleet_expires_as_a_whole() {
        assert_eq!(swept(&[5; 19], 6).1.freeze(), None);
    }

    #[test]
    fn a_fleet_that_falls_silent_at_once_does_not_expire() {
        let (start, preservation) = swept(&[5; 20], 60);
        assert!(preservation.horizon() < start + SECOND * 5);
        assert_eq!(
            preservation.freeze().unwrap(),
            Freeze { since: start + SECOND * 5, reason: Reason::FleetSilent }
        );
    }

    #[test]
    fn a_fleet_that_falls_across_a_tick_is_seen_whole() {
        let mut dues = vec![5; 10];
        dues.extend([6; 10]);
        let (start, preservation) = swept(&dues, 6);
        assert!(preservation.freeze().is_some() && preservation.horizon() < start + SECOND * 5);
    }

    #[test]
    fn expiry_goes_on_when_half_of_the_fleet_is_back() {
        let (start, mut preservation) = swept(&[5; 20], 10);
        let mut dues = vec![5; 10];
        dues.extend([500; 10]);
        sweep(&mut preservation, start, 11, &dues, None);
        assert_eq!((preservation.horizon(), preservation.freeze()), (start + SECOND * 11, None));
    }

    #[test]
    fn a_fleet_that_never_comes_back_is_given_up_for_good() {
        let (start, mut preservation) = swept(&[5; 20], 10);
        for second in [5 + 3600, 5 + 3601, 5 + 3602] {
            sweep(&mut preservation, start, second, &[5; 20], None);
            assert_eq!(preservation.freeze(), None, "{second}");
        }
    }

    #[test]
    fn what_goes_wrong_in_between_does_not_give_a_fleet_more_time() {
        let (start, mut preservation) = swept(&[5; 20], 10);
        sweep(&mut preservation, start, 3_000, &[5; 20], Some(Reason::StoreUnreachable));
        sweep(&mut preservation, start, 3_001, &[5; 20], None);
        assert_eq!(preservation.freeze().unwrap().reason, Reason::FleetSilent);
        sweep(&mut preservation, start, 5 + 3_600, &[5; 20], None);
        assert_eq!(preservation.freeze(), None);
    }

    #[test]
    fn nobody_expires_while_this_registry_is_a_bad_witness() {
        for reason in [Reason::StoreUnreachable, Reason::StoreBehind, Reason::RegistrySilent] {
            let (start, mut preservation) = swept(&[], 3);
            sweep(&mut preservation, start, 4, &[4], Some(reason));
            assert_eq!(preservation.freeze().unwrap().reason, reason);
            assert!(preservation.horizon() < start + SECOND * 4);
            sweep(&mut preservation, start, 5, &[4], None);
            assert_eq!(preservation.horizon(), start + SECOND * 5);
        }
    }
}
