//! Where a configuration is kept.

pub mod file;
