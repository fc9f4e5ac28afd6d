//! Rubbish over raw sockets, and configurations that cannot work: the registry says what is wrong and goes on, or does
//! not start at all.

mod configuration;
mod documents;
mod sockets;

mod victim;
