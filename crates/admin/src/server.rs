//! The Admin API, served.
