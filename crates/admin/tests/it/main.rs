//! The Admin API from outside: one test binary, a module a subject.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod server_double;
mod server_endpoints;
mod server_events;
mod server_fields;
mod server_forms;
mod server_guard;
mod server_kinds;
mod server_pages;
mod server_refusals;
mod server_relations;
mod server_schemas;
mod server_whole;
