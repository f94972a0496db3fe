//! The client against a gateway. Owns: the one test binary. `mock` is a gateway of a few lines, with the schemas of ours.

#![expect(clippy::unwrap_used, reason = "tests")]

mod faults;
mod masks;
mod mock;
mod sync;
mod trace;
