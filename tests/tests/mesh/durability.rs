//! What was acknowledged survives: kill -9, a full disk, a second process on the same directory, a move by backup; and a
//! damaged file is reported instead of replaced.

mod backup;
mod disk;
mod kill;
mod open;

mod directory;
