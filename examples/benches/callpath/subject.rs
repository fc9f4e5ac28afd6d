//! What is compared: one row for each way from a caller to the upstream agent. A new route, or a route with other
//! settings, is one row more.

use crate::upstream::{self, ANSWER, RESULT};

/// The capability of the upstream agent.
pub(crate) const CAPABILITY: &str = "summarize";
/// A macro, so that a request can be put together from it when this is compiled.
macro_rules! arguments {
    () => {
        r#"{"text":"The mesh has a registry that knows which agent can do what and whether it is alive, and a small proxy beside each agent, which finds the healthy providers of a capability, picks the best one and repeats only what is safe.","language":"en","sentences":1,"style":"plain","audience":["operators"]}"#
    };
}

/// The body of every request: the arguments of a call, about as large as those of most calls are.
const ARGUMENTS: &str = arguments!();
/// The same as an MCP client sends it, one that has shaken no hands.
const TOOL_CALL: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"summarize","arguments":"#,
    arguments!(),
    "}}"
);

/// One way from a caller to the upstream.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its name in the table.
    pub(crate) title: &'static str,
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Who is asked.
    pub(crate) server: Kind,
    /// Where.
    pub(crate) path: &'static str,
    /// With what.
    pub(crate) body: &'static str,
    /// What must come back, byte for byte.
    pub(crate) answer: &'static str,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The upstream itself.
    Upstream,
    /// The thin proxy.
    Thin,
    /// A sidecar with these settings on its command line.
    Sidecar(&'static [&'static str]),
}

/// All subjects; the first two are what the others are compared with.
pub(crate) const SUBJECTS: [Subject; 5] = [
    Subject {
        title: "upstream, directly",
        name: "upstream",
        server: Kind::Upstream,
        path: upstream::PATH,
        body: ARGUMENTS,
        answer: ANSWER,
    },
    Subject {
        title: "thin proxy",
        name: "thin",
        server: Kind::Thin,
        path: upstream::PATH,
        body: ARGUMENTS,
        answer: ANSWER,
    },
    Subject {
        title: "POST /call",
        name: "call",
        server: Kind::Sidecar(&[]),
        path: "/call/summarize",
        body: ARGUMENTS,
        answer: RESULT,
    },
    Subject {
        title: "POST /proxy",
        name: "proxy",
        server: Kind::Sidecar(&[]),
        path: "/proxy/summarize/mcp",
        body: ARGUMENTS,
        answer: ANSWER,
    },
    Subject {
        title: "POST /mcp",
        name: "mcp",
        server: Kind::Sidecar(&[]),
        path: "/mcp",
        body: TOOL_CALL,
        answer: ANSWER,
    },
];

impl Subject {
    /// Whether this is a sidecar, and not what sidecars are compared with.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.server, Kind::Sidecar(_))
    }
}
