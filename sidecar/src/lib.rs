#![doc = include_str!("../docs/architecture.md")]

pub mod program;

pub mod init;

pub mod server;

pub mod rooms;

pub mod inbound;

pub mod api;

pub mod config;
pub mod manifest;

pub mod registration;

pub mod inventory;

pub mod bridge;
pub mod health;
pub mod own_agent;

pub mod warden;

pub mod plain;
pub mod tool;

pub mod speech;

pub mod outbound;

pub mod course;

pub mod access;
pub mod routing;

pub mod keeper;
pub mod offer;

pub mod copy;
pub mod target;

pub mod discovery;
pub mod flights;
pub mod sessions;

pub mod meta_tools;

pub mod stock;

pub mod prober;

pub mod cache;
pub mod provider;

pub mod question;

pub mod gate;

pub mod errand;
pub mod places;

pub mod admission;

pub mod endpoint;

pub mod pool;

pub mod connection;

pub mod answer;
pub mod request;

pub mod dial;
pub mod patience;

pub mod hop;

pub mod passport;

pub mod terms;

pub mod told;

pub mod naming;

pub mod affinity;
pub mod balancer;
pub mod hedge;
pub mod load;
pub mod metrics;
pub mod split;

pub mod error;

pub mod wire;

pub mod breaker;
pub mod destination;
pub mod replay;
pub mod retry;
