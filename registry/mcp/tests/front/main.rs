//! The front over a table of a few tools: HTTP in, HTTP out, without a network.

#![cfg(test)]

mod anything;
mod batches;
mod calls;
mod changes;
mod current;
mod lists;
mod older;
mod refusals;

mod table;
