//! An agent over standard input and output, and the bridge that many clients share it over.

mod clients;
mod life;
mod mesh;

mod world;
