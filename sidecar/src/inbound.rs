//! The port for peers: their requests pass the admission, the deadline and the limits, reach our agent as they are, and
//! come to their end when it is time to go.
//!
//! What is asked is the agent's affair: nothing is read of a body, nothing is repeated once something of a request was
//! sent, nothing is put into an answer. Whatever is refused here says whether the agent has seen it. Only for peers'
//! sidecars, which speak the current revision of MCP, an agent of an older one is translated.

pub mod port;

pub mod service;

pub mod local;

mod schemas;
pub mod translation;

pub mod older;

mod hearing;

pub mod refusal;
