#![doc = include_str!("../docs/architecture.md")]

pub mod program;

pub mod backup;
pub mod server;

pub mod config;

pub mod http;
pub mod tools;

pub mod service;
pub mod sweeper;

pub mod feed;
pub mod registrar;

pub mod condition;
pub mod metrics;

pub mod catalog;

pub mod store;

pub mod health;
pub mod preservation;

pub mod error;

pub mod export;
pub mod moment;
