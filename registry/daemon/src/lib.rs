//! How a mesh binary behaves as a process, once for both of them.
//!
//! [`settings`] merges defaults, a file, the environment and flags and reports every fault with its place; [`listen`]
//! accepts connections and drains them; [`alarm`] limits the time of what is rarely late; [`telemetry`] sets up the logs;
//! [`signal`] waits for the order to stop.

pub mod settings;
pub mod yaml;

pub mod listen;

pub mod alarm;
pub mod stall;
pub mod target;

pub mod signal;
pub mod telemetry;
