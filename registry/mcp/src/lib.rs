//! The Model Context Protocol on the wire, without a transport: what to send, what an answer means,
//! and what to answer.
//!
//! Two eras live side by side. Since revision 2026-07-28 the protocol is stateless: every POST stands alone and names
//! its version, its method and its tool in headers. Before that a client opens with `initialize`, and a server may
//! mint a session. [`call`] writes requests for either, [`peer`] knows which one a server speaks, [`answer`] reads
//! what comes back, as JSON or as server-sent events. The other side of the table is [`front`]: a server for whoever has
//! tools to offer, in both eras at once. Bytes that need no change, arguments and results, pass through
//! unparsed.

pub mod front;

pub mod answer;
pub mod call;
pub mod follow_up;
pub mod page;

pub mod beside;

pub mod peer;

pub mod message;
pub mod note;
pub mod sse;

pub mod tool_name;

pub mod param_header;

pub mod headers;
pub mod raw;
pub mod version;

pub mod scan;
pub mod splice;

pub mod error;
