//! The registry as its clients see it: requests in, answers out, through the whole crate but the listener.

#![cfg(test)]

mod conditional;
mod discovery;
mod export;
mod guide;
mod life;
mod malformed;
mod mcp;
mod openapi;
mod operations;
mod origin;
mod silence;
mod trouble;
mod watch;

mod stream;

mod harness;
