//! Request facts → the route that matches. Pure: no IO, no clock.
//!
//! Owns: what a route's rules mean, which route wins, the one form of a path, and what path the upstream sees. Must not
//! know: connections, services beyond their path, what is done with a match. `proxy` builds a [`Router`] for each
//! configuration, asks it once a request, and acts on the [`Match`].
//!
//! The way of a request: its raw path becomes the one form that everything else uses ([`normalise`], `path.rs`); the
//! other facts are collected ([`Facts`]); [`Router::find`] asks the index (`index.rs`, `trie.rs`) for candidates by host
//! and path, and the rules of each (`rule.rs`, `rule/`) for the rest; [`upstream_path`] says what the upstream is asked
//! for. In the flavour `expressions`, Kong's own engine looks first (`expression.rs`).
//!
//! The rules are those of Kong's flavour `traditional_compatible`. Where we differ on purpose, the item says so.

mod facts;
mod index;
mod path;
#[cfg(any(test, feature = "plain"))]
pub mod plain;
mod router;
mod rule;
#[cfg(test)]
mod tests;
mod trie;
mod upstream;

#[cfg(feature = "expressions")]
mod expression;

pub use facts::{Captures, Facts, Match};
pub use path::{PathError, normalise};
pub use router::{Flavour, Router};
pub use upstream::upstream_path;
