//! The demo: a registry, three providers and a caller, each in a process of its own, and what happens to them.

pub mod story;

pub mod troupe;

pub mod cast;
pub mod traffic;

pub mod screen;
