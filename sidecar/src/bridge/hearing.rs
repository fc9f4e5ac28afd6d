//! What the program says on its standard output: messages, and now and then a line that is none.

use bytes::Bytes;
use mesh_mcp::error::RpcError;
use mesh_mcp::front::relay::said::Said;
use tokio::io::AsyncRead;

use super::lines::{LineFault, Lines};

/// Longest message, in bytes: the limit of an answer everywhere.
const LONGEST: usize = 16 * 1024 * 1024;
/// Lines in a row that are no messages: whoever prints so many speaks something else.
const RUBBISH: u32 = 1_000;

/// Hears a program.
#[derive(Debug)]
pub(super) struct Hearing<R> {
    lines: Lines<R>,
    rubbish: u32,
}

/// Why a conversation ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The program said nothing more.
    #[error("it closed its standard output")]
    Silent,
    /// What it says cannot be read.
    #[error(transparent)]
    Unreadable(#[from] LineFault),
    /// It does not speak the protocol.
    #[error(
        "it printed {0} lines in a row that are no JSON-RPC messages: standard output is for the protocol, logs belong on standard error"
    )]
    Rubbish(u32),
    /// It did not begin to speak.
    #[error("it answered neither server/discover nor initialize within {0} s")]
    Mute(u64),
    /// It refused the handshake.
    #[error("it refused initialize: {} ({})", .0.message, .0.code)]
    Refused(RpcError),
    /// It answered the handshake with something else.
    #[error("its answer to initialize is none")]
    Confused,
}

impl<R: AsyncRead + Unpin> Hearing<R> {
    /// Hears what `output` says.
    pub(super) fn new(output: R) -> Self {
        Self { lines: Lines::new(output, LONGEST), rubbish: 0 }
    }

    /// The next message.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn next(&mut self) -> Result<Said, Ended> {
        loop {
            let line = self.lines.next().await?.ok_or(Ended::Silent)?;
            if let Some(said) = Said::read(line.clone()) {
                self.rubbish = 0;
                return Ok(said);
            }
            self.note_rubbish(&line)?;
        }
    }

    fn note_rubbish(&mut self, line: &Bytes) -> Result<(), Ended> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        self.rubbish += 1;
        if self.rubbish == 1 {
            tracing::warn!(
                "our agent prints what is no message on its standard output; such lines are skipped"
            );
        }
        if self.rubbish >= RUBBISH { Err(Ended::Rubbish(RUBBISH)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_banner_is_skipped_and_a_program_that_only_prints_is_given_up() {
        let message = "{\"id\":1,\"result\":{}}\n";
        let banner = "Starting …\n\n".repeat(600);
        let text = format!("{banner}{message}{banner}{message}");
        let mut hearing = Hearing::new(text.as_bytes());
        assert!(hearing.next().await.is_ok() && hearing.next().await.is_ok());
        assert!(matches!(hearing.next().await, Err(Ended::Silent)));
        let text = "hello\n".repeat(2_000);
        assert!(matches!(Hearing::new(text.as_bytes()).next().await, Err(Ended::Rubbish(1_000))));
    }
}
