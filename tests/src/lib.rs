//! What tests need to drive the mesh as a whole: the real programs, agents that do as they are told, a network that
//! can be cut, and patience with a limit.
//!
//! Only loopback, only port 0, only fresh directories; whatever a test starts ends with it.
#![expect(clippy::expect_used, reason = "a test that cannot go on says what it expected and ends")]

pub mod sidecar;

pub mod registry;

pub mod agent;
pub mod etcd;
pub mod fleet;
pub mod stdio_agent;

pub mod program;

pub mod cutter;
pub mod scripted;
pub mod verbatim;
pub mod web;

pub mod exchange;
pub mod http;

pub mod wait;
