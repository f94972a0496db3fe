//! The data plane: the only crate that serves and opens traffic connections.

pub mod balance;
pub mod dns;
pub mod health;
