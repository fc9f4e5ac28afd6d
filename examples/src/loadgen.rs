//! Load for a registry, over HTTP and from outside: a fleet of agents, those who ask for them, and what both cost.
//!
//! It knows the registry by its routes alone, so that it measures any of them that speaks the contract.

pub mod program;

pub mod survey;

pub mod watchers;

pub mod floor;

pub mod drive;
pub mod upkeep;

pub mod question;

pub mod fill;

pub mod fleet;
pub mod words;

pub mod schedule;
pub mod tally;

pub mod meter;
pub mod server;

pub mod process;

pub mod event;

pub mod wire;

pub mod table;

pub mod dice;
