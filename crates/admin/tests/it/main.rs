//! The Admin API and its client from outside: one test binary, a module a subject. `mock` is a gateway of a few lines, with
//! the schemas of ours; `server_*` ask the real one.

#![expect(clippy::unwrap_used, reason = "tests")]

mod faults;
mod masks;
mod mock;
mod server_double;
mod server_endpoints;
mod server_events;
mod server_fields;
mod server_forms;
mod server_guard;
mod server_kinds;
mod server_pages;
mod server_prepare;
mod server_refusals;
mod server_relations;
mod server_schemas;
mod server_whole;
mod sync;
mod trace;
