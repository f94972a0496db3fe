//! The Admin API from outside: one test binary, a module a subject.

mod server_double;
mod server_kinds;
