//! Where a configuration is kept.

pub mod file;
pub mod store;
