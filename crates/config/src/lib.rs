//! Where configuration comes from, and the one way it takes effect.
//!
//! Owns: reading a file and noticing that it changed ([`source`]), keeping entities in a database ([`store`]), and the
//! step from a text to what serves ([`apply`]): it is checked, prepared beside what is in effect, and committed whole, or
//! refused with every reason while the old one serves; one after the other ([`transact`]). Must not know: what a configuration is made into; whoever serves tells by
//! [`apply::Effect`].

pub mod apply;
pub mod source;
pub mod store;
pub mod transact;
