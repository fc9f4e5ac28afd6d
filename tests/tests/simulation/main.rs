//! The mesh in a simulation: the real registry and the real sidecars on one thread, under a paused clock and over a network
//! in memory, through partitions, crashes, slow links and answers that break off. One seed is one story, and tells the same
//! story every time.
//!
//! `MESH_SEED=n cargo test -p mesh-tests --test simulation -- --nocapture` tells that of one seed, and `MESH_SEEDS=n` plays
//! so many of them.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends")]

mod seeds;

mod story;

mod acts;

mod recovery;

mod fault;

mod caller;

mod mesh;

mod promise;
mod registry;
mod sidecar;

mod transport;

mod agent;

mod ledger;

mod host;

mod network;

mod wires;

mod connection;
mod link;
mod trace;

#[test]
fn whatever_happens_the_mesh_keeps_its_promises() {
    seeds::play();
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    seeds::play_twice();
}
