//! The Kong-compatible Admin API, served and called.
//!
//! Owns: its wire form: [`server`] answers it, [`client`] speaks it to any gateway that does, ours or Kong's. Must not
//! know: how a configuration takes effect, how rows are kept (`postern_config` does both).

pub mod client;
pub mod server;
