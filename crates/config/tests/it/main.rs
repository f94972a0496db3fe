//! The stores, against what they promise: one binary, because each costs a link.
//!
//! `contract` holds all of them to the same, and `broken` what somebody broke past them; `model` does so with histories that nobody thought of; `sqlite` and `postgres`
//! have what only one of them has; `crash` ends them in the middle of their work. PostgreSQL is a real one (`stores`).

#![expect(clippy::unwrap_used, reason = "these are tests, also where a function is not marked so")]

mod broken;
mod contract;
mod crash;
mod figures;
mod model;
mod postgres;
mod rows;
mod sqlite;
mod stores;
