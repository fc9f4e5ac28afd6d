//! A front for a server that speaks to one client only, over a line of its own or in a session: many clients of every era
//! share it.
//!
//! Pure: lines and HTTP parts in, lines and HTTP parts out; whoever holds the line keeps the table of what is in flight.
//! Each request gets a number of ours as its id and as its progress token, so that clients cannot mix up each other's
//! answers. What the eras differ in is translated here, and everything else stays the bytes that it was.
//!
//! [`wish`] reads what a client wants, [`ask`] is a request on its way through the line and back, [`said`] reads what
//! the server says, [`listening`] tells clients of changes that an older server announces to all, and [`nature`] is what
//! the server said of itself at the beginning.

pub mod wish;

pub mod ask;
pub mod listening;

pub mod nature;
pub mod said;
