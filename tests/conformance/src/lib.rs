//! The black-box harness: real servers, the real binary, and the tools to judge what it said.
//!
//! A test in `tests/it/` reads in this order: start the servers it needs ([`OpenBao`], [`OidcProvider`],
//! [`DevStack`]), prepare them as a person would ([`OpenBao::cli`]), run [`Postern`], look at the [`Outcome`].
//! Cases that need no code of their own are data ([`cases`]). Nothing here knows a crate of the product: what
//! is tested is what a user gets.
//!
//! The servers come from `.tools/` (`make tools`), PostgreSQL from the system's packages. A missing part is a failure with the command that brings it,
//! never a skipped test. All of them listen on free loopback ports, keep their files in temporary directories,
//! and end when their handle is dropped.

pub mod ask;
mod audit;
pub mod ca;
pub mod canary;
pub mod cases;
mod devstack;
mod dns;
mod gateway;
pub mod gateway_cases;
pub mod http;
mod node;
mod oidc;
mod openbao;
mod outcome;
mod postern;
mod postgres;
pub mod python;
mod recorder;
mod redis;
mod relay;
mod server;
mod stub;

pub use audit::{Audit, Audited};
pub use canary::Canary;
pub use devstack::{DevStack, DevStackInfo};
pub use dns::Dns;
pub use gateway::Gateway;
pub use node::Node;
pub use oidc::OidcProvider;
pub use openbao::{OpenBao, TlsFiles};
pub use outcome::Outcome;
pub use postern::Postern;
pub use postgres::Postgres;
pub use recorder::{Recorder, Reply, Seen};
pub use redis::Redis;
pub use relay::Relay;
pub use stub::{Answer, Stub};

use std::path::{Path, PathBuf};

/// The checkout that these tests were built from.
pub fn checkout() -> &'static Path {
    // tests/conformance -> tests -> checkout
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate sits two folders deep")
}

/// A program or folder in `.tools/`.
///
/// # Panics
/// When it is not installed; the message says how to install it.
fn tool(relative: &str) -> PathBuf {
    let path = checkout().join(".tools").join(relative);
    assert!(path.exists(), "{} is not there: run `make tools` (it is never skipped)", path.display());
    path
}

/// `PATH` of the caller: the one thing a program under test inherits.
#[expect(clippy::disallowed_methods, reason = "the harness starts programs as a shell would")]
fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}
