//! How long an answer is waited for: until its beginning, and then from piece to piece.

use std::time::Duration;

use mesh_daemon::alarm::Alarms;
use tokio::time::Instant;

use crate::error::AttemptError;

/// Limits of an answer that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest silence between two pieces.
    pub idle: Duration,
    /// Longest time from beginning to end.
    pub longest: Duration,
}

/// How a streamed answer is treated.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long a provider may be silent, and how long the whole may last.
    pub limits: Limits,
    /// Silence after which a stream of events gets a comment.
    pub keep_alive: Duration,
}

/// The patience with one answer.
#[derive(Debug)]
pub struct Patience<'a> {
    alarms: &'a Alarms,
    deadline: Instant,
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    idle: Duration,
    ends: Instant,
}

// === impl Patience ===

impl<'a> Patience<'a> {
    /// Waits until `deadline` for the beginning.
    pub fn until(deadline: Instant, alarms: &'a Alarms) -> Self {
        Self { alarms, deadline, begun: None }
    }

    /// The answer has begun: from now on `limits` count.
    pub fn has_begun(&mut self, limits: Limits) {
        self.begun.get_or_insert_with(|| Begun { idle: limits.idle, ends: Instant::now() + limits.longest });
    }

    /// Waits for the next piece.
    ///
    /// # Errors
    /// Those of `piece`, and that the patience is over.
    pub async fn wait<T>(
        &self,
        piece: impl Future<Output = Result<T, AttemptError>> + Unpin,
    ) -> Result<T, AttemptError> {
        let Some(begun) = self.begun else {
            return self.alarms.limit(self.deadline, piece).await.unwrap_or(Err(AttemptError::TimedOut));
        };
        let silence = Instant::now() + begun.idle;
        let waited = self.alarms.limit(silence.min(begun.ends), piece).await;
        waited.unwrap_or(Err(if silence <= begun.ends {
            AttemptError::Stalled(begun.idle)
        } else {
            AttemptError::TimedOut
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const LIMITS: Limits = Limits { idle: Duration::from_secs(300), longest: Duration::from_secs(3_600) };

    async fn after(seconds: u64) -> Result<(), AttemptError> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_goes_on_outlives_the_deadline_but_not_the_hard_limit() {
        let alarms = Alarms::default();
        let mut patience = Patience::until(Instant::now() + Duration::from_secs(60), &alarms);
        patience.wait(pin!(after(59))).await.unwrap();
        patience.has_begun(LIMITS);
        for _ in 0..14 {
            patience.wait(pin!(after(250))).await.unwrap();
        }
        assert!(matches!(patience.wait(pin!(after(250))).await, Err(AttemptError::TimedOut)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream() {
        let alarms = Alarms::default();
        let mut patience = Patience::until(Instant::now() + Duration::from_secs(60), &alarms);
        patience.has_begun(LIMITS);
        assert!(matches!(patience.wait(pin!(after(301))).await, Err(AttemptError::Stalled(_))));
        let patience = Patience::until(Instant::now() + Duration::from_secs(60), &alarms);
        assert!(matches!(patience.wait(pin!(after(61))).await, Err(AttemptError::TimedOut)));
    }
}
