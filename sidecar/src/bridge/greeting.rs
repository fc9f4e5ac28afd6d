//! How a conversation begins: which era the program is of, and what it says of itself.

use std::time::Duration;

use mesh_mcp::error::METHOD_NOT_FOUND;
use mesh_mcp::front::relay::nature::{self, DISCOVERY, HANDSHAKE, Nature};
use mesh_mcp::front::relay::said::{Kind, Said};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::hearing::{Ended, Hearing};
use crate::speech::US;

/// Time that a program has for the question of a current client, before it is asked as an older one as well. An answer
/// that comes later still counts: many programs need longer to start.
const DISCOVERY_TIME: Duration = Duration::from_secs(2);
/// Time that it has to begin at all.
const START_TIME: Duration = Duration::from_secs(30);

/// Opens the conversation.
///
/// # Errors
/// Why there is none.
pub(super) async fn greet(
    hearing: &mut Hearing<impl AsyncRead + Unpin>,
    input: &mut (impl AsyncWrite + Unpin),
) -> Result<Nature, Ended> {
    let mute = |_| Ended::Mute(START_TIME.as_secs());
    let begin = Instant::now();
    say(input, nature::discover(US)).await;
    let discovered = timeout_at(begin + DISCOVERY_TIME, answer(hearing, input));
    if let Ok(said) = discovered.await
        && let Some(nature) = current(&said?)
    {
        return Ok(nature);
    }
    say(input, nature::initialize(US)).await;
    loop {
        let said = timeout_at(begin + START_TIME, answer(hearing, input)).await.map_err(mute)??;
        if let Some(nature) = current(&said) {
            return Ok(nature);
        }
        if let Kind::Answer(HANDSHAKE, _) = said.kind {
            let nature = older(&said)?;
            say(input, nature::initialized()).await;
            return Ok(nature);
        }
    }
}

/// The next answer. A program may ask something itself meanwhile.
async fn answer(
    hearing: &mut Hearing<impl AsyncRead + Unpin>,
    input: &mut (impl AsyncWrite + Unpin),
) -> Result<Said, Ended> {
    loop {
        let said = hearing.next().await?;
        match said.kind {
            Kind::Answer(..) => return Ok(said),
            Kind::Asked(reply) => say(input, reply).await,
            _ => {}
        }
    }
}

fn current(said: &Said) -> Option<Nature> {
    let Kind::Answer(DISCOVERY, _) = said.kind else { return None };
    Nature::read(said.result()?).filter(|nature| nature.is_current)
}

/// Programs that know no handshake at all are spoken to without one.
fn older(said: &Said) -> Result<Nature, Ended> {
    match (said.result(), said.error()) {
        (Some(result), _) => Nature::read(result).filter(|nature| !nature.is_current).ok_or(Ended::Confused),
        (None, Some(error)) if error.code == METHOD_NOT_FOUND => Ok(Nature::unknown()),
        (None, Some(error)) => Err(Ended::Refused(error)),
        (None, None) => Err(Ended::Confused),
    }
}

/// A program that does not read has ended, which its output says better.
async fn say(input: &mut (impl AsyncWrite + Unpin), mut line: Vec<u8>) {
    line.push(b'\n');
    input.write_all(&line).await.ok();
    input.flush().await.ok();
}
