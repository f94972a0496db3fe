//! Where configuration comes from, and the one way it takes effect.
//!
//! Owns: reading a file and noticing that it changed ([`source`]), keeping entities in a database ([`store`]), and the
//! step from a text to what serves ([`apply`]): it is checked, made beside what is in effect, and swapped whole, or refused
//! with every reason while the old one serves. Must not know: what a configuration is made into; whoever serves tells by
//! [`apply::Effect`].

pub mod apply;
pub mod source;
pub mod store;
