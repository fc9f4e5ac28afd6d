#![doc = include_str!("../docs/architecture.md")]

pub mod program;

pub mod server;

pub mod config;
pub mod manifest;

pub mod api;

pub mod registration;

pub mod health;

pub mod outbound;
pub mod routing;

pub mod prober;

pub mod discovery;

pub mod cache;

pub mod forward;

pub mod endpoint;

pub mod pool;

pub mod balancer;
pub mod load;
pub mod metrics;

pub mod error;

pub mod breaker;
pub mod retry;
