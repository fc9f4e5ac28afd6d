//! The random source of everything that is left to chance: jitter, a home among registries, the choice of a provider.
//!
//! Each thread has its own, seeded by the system. A simulation seeds that of its thread, and everything that chance decides
//! there is decided the same way the next time. Nothing that must not be guessed may come from here.

use std::cell::RefCell;
use std::convert::Infallible;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _, TryRng};

thread_local! {
    static OF_THREAD: RefCell<SmallRng> = RefCell::new(rand::make_rng());
}

/// The random source of this thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dice;

/// From here on, chance decides on this thread what it decides after the same `seed` every time.
pub fn seed(seed: u64) {
    OF_THREAD.with_borrow_mut(|rng| *rng = SmallRng::seed_from_u64(seed));
}

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(OF_THREAD.with_borrow_mut(|rng| rng.next_u32()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(OF_THREAD.with_borrow_mut(|rng| rng.next_u64()))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        OF_THREAD.with_borrow_mut(|rng| rng.fill_bytes(dst));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;

    fn throws() -> Vec<u64> {
        (0..8).map(|_| Dice.random_range(0..1_000_000)).collect()
    }

    #[test]
    fn the_same_seed_decides_the_same_and_threads_do_not_disturb_each_other() {
        seed(7);
        let first = throws();
        seed(7);
        std::thread::spawn(throws).join().unwrap();
        assert_eq!(throws(), first);
        assert_ne!(throws(), first);
    }

    #[test]
    fn without_a_seed_nothing_is_known_beforehand() {
        let elsewhere = || std::thread::spawn(throws).join().unwrap();
        assert_ne!(elsewhere(), elsewhere());
    }
}
