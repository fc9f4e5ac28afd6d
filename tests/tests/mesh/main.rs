//! The mesh as a whole: real binaries over loopback, one module per behaviour.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod layering;

mod durability;
mod registry_health;
mod registry_input;
mod registry_mcp;
mod registry_watch;
mod seed_document;

mod access_log;
mod addresses;
mod auto;
mod breaker;
mod bridge;
mod cards;
mod choices;
mod eras;
mod inbound;
mod inbound_drain;
mod inbound_eras;
mod inbound_limits;
mod lifecycle;
mod memory;
mod mesh_as_tools;
mod mesh_changes;
mod mesh_follow_ups;
mod one_call;
mod passthrough;
mod plain_http;
mod provider_killed;
mod registry_killed;
mod retries;
mod sidecar_input;
mod streaming;
mod verbatim;
