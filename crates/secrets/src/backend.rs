//! The kinds of vault, one file or folder each: how it reads. Must not know: references, caching, or one another.

pub mod env;
pub mod fs;
pub mod hcv;
