//! The Admin API, served.

mod row;

pub use row::row;
