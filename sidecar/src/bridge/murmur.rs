//! What a program prints on its standard error goes to our log, as long as it is not too much.

use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::lines::Lines;

/// Longest part of a line that is shown, in bytes.
const SHOWN: usize = 4 * 1024;
/// Longest line that is read as one, in bytes.
const LONGEST: usize = 64 * 1024;
/// Lines that are shown in one [`SPAN`]; more are counted.
const PER_SPAN: u32 = 200;
/// Time after which lines are shown again.
const SPAN: Duration = Duration::from_secs(2);

/// How much has been shown.
#[derive(Debug)]
struct Ration {
    began: Instant,
    shown: u32,
    left_out: u64,
}

/// Logs what comes from `beside`, under the agent's id, until it ends.
pub(super) async fn log(beside: impl AsyncRead + Unpin, agent_id: &str) {
    let mut ration = Ration { began: Instant::now(), shown: 0, left_out: 0 };
    let mut lines = Lines::new(beside, LONGEST);
    loop {
        match lines.next().await {
            Ok(Some(line)) => {
                let (shows, left_out) = ration.take(Instant::now());
                if left_out > 0 {
                    tracing::warn!(
                        agent.id = agent_id,
                        lines = left_out,
                        "our agent prints too much; some is left out"
                    );
                }
                if shows {
                    let line = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
                    tracing::info!(agent.id = agent_id, "our agent: {}", line.trim_end());
                }
            }
            Ok(None) => return,
            // The rest of an endless line counts as further lines.
            Err(_) => lines.skip(),
        }
    }
}

// === impl Ration ===

impl Ration {
    /// Whether one more line is shown, and how many were left out before it that nobody was told of.
    fn take(&mut self, now: Instant) -> (bool, u64) {
        if now.saturating_duration_since(self.began) >= SPAN {
            (self.began, self.shown) = (now, 0);
        }
        if self.shown == PER_SPAN {
            self.left_out += 1;
            return (false, 0);
        }
        self.shown += 1;
        (true, std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_prints_too_much_is_shown_in_part_and_the_rest_is_counted() {
        let now = Instant::now();
        let mut ration = Ration { began: now, shown: 0, left_out: 0 };
        assert_eq!((0..1_000).filter(|_| ration.take(now).0).count(), 200);
        assert_eq!(ration.take(now + SPAN), (true, 800));
        assert_eq!(ration.take(now + SPAN), (true, 0));
    }
}
