//! A client of mesh-registry: register, heartbeat, deregister, find.
//!
//! [`client::Client`] speaks to one registry or to several equal ones; [`backoff::Backoff`] spaces the attempts of
//! whoever waits for a registry to come back; [`dice::Dice`] is where chance comes from.

pub mod client;

mod rota;

pub mod changes;

pub mod exchange;

pub mod transport;

pub mod backoff;
pub mod dice;
pub mod error;
