//! The words that the registry, its client and the sidecar share on the wire.
//!
//! No I/O and no clock: documents come in as JSON values and go out as JSON values. Everything a person can get
//! wrong is read through [`document`], which reports every fault at once and where it is.

pub mod route;

pub mod page;
pub mod query;

pub mod heartbeat;

pub mod card;

pub mod agent;

pub mod dependency;

pub mod capability;
pub mod health;
pub mod selector;
pub mod version;

pub mod endpoint;
pub mod label;

pub mod document;

pub mod wording;

pub mod error;

pub mod schema;
