//! A real MCP agent to try the mesh with, and the demo that puts several of them into one.
//!
//! The agent is built on the official Rust SDK and knows nothing of the mesh: what works with it works with agents
//! that never heard of us. [`demo`] runs it beside the real registry and sidecars. [`loadgen`] measures a registry from
//! outside.

pub mod figures;

pub mod loadgen;

pub mod etcd;

pub mod demo;

pub mod program;

pub mod agent;

pub mod tools;

pub mod archive;
pub mod shelf;
pub mod summary;

pub mod prose;
