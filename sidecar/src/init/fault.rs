//! Why no manifest was written, and what to do about it.

use std::io;
use std::time::Duration;

use mesh_api::document::{MAX_TOLD, quoted};
use mesh_api::error::Fault;
use mesh_client::error::BoxError;

/// Why no manifest was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum InitError {
    /// The file is there.
    #[error("{0} is there already: name another file with --output, or replace it with --force")]
    Exists(String),
    /// The manifest cannot be put where it should go.
    #[error("{file} cannot be written: name another file with --output")]
    Unwritten {
        /// Where it should go.
        file: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The file of the card cannot be read.
    #[error("{file} cannot be read: name a file or an http: or https: URL with --from")]
    Unreadable {
        /// The file.
        file: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Nobody answers.
    #[error("{url} cannot be reached: check the address, or download the card and name the file")]
    Unreachable {
        /// Where the card should be.
        url: String,
        /// What happened.
        #[source]
        source: BoxError,
    },
    /// The answer takes too long.
    #[error("{url} did not send the whole card within {} s: download it and name the file", .limit.as_secs())]
    Slow {
        /// Where the card should be.
        url: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The answer leads elsewhere.
    #[error("{url} leads to {}, and redirects are not followed: name that address if you trust it", quoted(.to))]
    Moved {
        /// Where the card should be.
        url: String,
        /// Where it is said to be.
        to: String,
    },
    /// The answer is an error.
    #[error("{url} answered {status}{}", excerpt(.said))]
    Refused {
        /// Where the card should be.
        url: String,
        /// The status.
        status: u16,
        /// The answer's own words, if they were ours to understand.
        said: Option<String>,
    },
    /// There is more of it than a card can be.
    #[error("{from} is larger than {limit} bytes: that is no card")]
    TooLarge {
        /// Where it comes from.
        from: String,
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// It is not JSON.
    #[error("{from} is no JSON: name the card itself, not a page about it")]
    NotJson {
        /// Where it comes from.
        from: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// It is none of the documents that are known.
    #[error(
        "{from} is none of the cards that are known: a server.json (with '$schema', or a 'name' with a slash), an MCP \
         server card (with '$schema') or an A2A agent card (with 'supportedInterfaces' or 'skills')"
    )]
    Unknown {
        /// Where it comes from.
        from: String,
    },
    /// It is one, and wrong.
    #[error("the {kind} of {from} has faults: {}", listed(.faults))]
    Faulty {
        /// What it is.
        kind: &'static str,
        /// Where it comes from.
        from: String,
        /// All that is wrong with it.
        faults: Vec<Fault>,
    },
}

/// Words of strangers: on one line, and no longer than a line can be.
fn excerpt(said: &Option<String>) -> String {
    const SHOWN: usize = 300;
    let shown = said.as_ref().map(|text| text.chars().take(SHOWN).collect::<String>());
    shown.map(|text| format!(": {text:?}")).unwrap_or_default()
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().take(MAX_TOLD).map(Fault::to_string).collect::<Vec<_>>().join("; ")
}
