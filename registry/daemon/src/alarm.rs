//! Time limits for what nearly always ends long before them.
//!
//! A timer costs more to set and to take away than everything else that a time limit does. These are not taken away: an
//! alarm that was not needed leaves its timer running for the next one, which mostly ends later. A timer that rings too
//! early for its alarm is set again, so for all limits together a timer is set as often as the time of one passes.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Timers that are kept for later. More than that run at once only when more is limited at once.
const MAX_KEPT: usize = 1_024;

/// Sets alarms; clones share their timers.
#[derive(Debug, Clone, Default)]
pub struct Alarms {
    idle: Arc<Mutex<Vec<Timer>>>,
}

/// Ends when its time has come. `A` is what it was set by, borrowed or its own.
#[derive(Debug)]
pub struct Alarm<A: Borrow<Alarms>> {
    at: Instant,
    /// Taken when somebody waits for the first time.
    timer: Option<Timer>,
    alarms: A,
}

/// Set for some time, now and then for an earlier one than it is needed for.
type Timer = Pin<Box<Sleep>>;

/// The time was over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time is over")]
pub struct Elapsed;

// === impl Alarms ===

impl Alarms {
    /// The outcome of `work`, if it comes before `at`. Whoever limits it has pinned it, so that it is not moved once more.
    ///
    /// # Errors
    /// When it does not.
    pub fn limit<F: Future + Unpin>(
        &self,
        at: Instant,
        mut work: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> {
        let mut alarm = Alarm { at, timer: None, alarms: self };
        poll_fn(move |context| {
            if let Poll::Ready(outcome) = Pin::new(&mut work).poll(context) {
                return Poll::Ready(Ok(outcome));
            }
            Pin::new(&mut alarm).poll(context).map(|()| Err(Elapsed))
        })
    }

    fn timer(&self, at: Instant) -> Timer {
        let kept = self.idle().pop();
        kept.unwrap_or_else(|| Box::pin(sleep_until(at)))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Timer>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Alarm ===

impl<A: Borrow<Alarms> + Unpin> Future for Alarm<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { at, timer, alarms } = &mut *self;
        let timer = timer.get_or_insert_with(|| (*alarms).borrow().timer(*at));
        loop {
            if timer.deadline() > *at {
                timer.as_mut().reset(*at);
            }
            ready!(timer.as_mut().poll(context));
            if timer.deadline() == *at || Instant::now() >= *at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(*at);
        }
    }
}

impl<A: Borrow<Alarms>> Drop for Alarm<A> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            let mut idle = self.alarms.borrow().idle();
            if idle.len() < MAX_KEPT {
                idle.push(timer);
            }
        }
    }
}

// === impl Timer of hyper ===

impl hyper::rt::Sleep for Alarm<Alarms> {}

impl hyper::rt::Timer for Alarms {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until((Instant::now() + duration).into())
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Alarm { at: deadline.into(), timer: None, alarms: self.clone() })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use proptest::prelude::*;
    use tokio::runtime::Builder;
    use tokio::time::sleep;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_in_time_leaves_its_timer_to_the_next_one() {
        let alarms = Alarms::default();
        for _ in 0..100 {
            let at = Instant::now() + 60_000 * MS;
            assert_eq!(alarms.limit(at, pin!(sleep(MS))).await, Ok(()));
        }
        assert_eq!(alarms.idle().len(), 1);
        assert_eq!(alarms.limit(Instant::now(), std::future::ready(7)).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_kept_timers_is_bounded() {
        let alarms = Alarms::default();
        let at = Instant::now() + 60_000 * MS;
        let together = (0..MAX_KEPT + 10).map(|_| alarms.limit(at, Box::pin(sleep(MS))));
        futures_util::future::join_all(together).await;
        assert_eq!(alarms.idle().len(), MAX_KEPT);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_alarm_goes_off_in_its_time_whatever_was_before(
            limits in prop::collection::vec((0u32..2_000, 0u32..2_000), 1..30)
        ) {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let outcome: Result<(), TestCaseError> = runtime.block_on(async {
                let alarms = Alarms::default();
                for (limit, work) in limits {
                    let began = Instant::now();
                    let outcome = alarms.limit(began + limit * MS, pin!(sleep(work * MS))).await;
                    prop_assert_eq!(outcome.is_ok(), work <= limit, "{} of {}", work, limit);
                    prop_assert_eq!(began.elapsed().as_millis() as u32, work.min(limit));
                }
                Ok(())
            });
            outcome?;
        }
    }
}
