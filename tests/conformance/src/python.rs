//! Programs in Python that use a client of Kong's Admin API which is not ours.
//!
//! Owns: the environment that they run in. Must not know: what they do; the script says it.

use std::{ffi::OsStr, time::Duration};

use tokio::process::Command;

use crate::{Outcome, checkout, outcome, search_path, tool};

/// Runs `tests/conformance/<client>/check.py` in the environment `.tools/<client>`, to its end.
///
/// # Panics
/// When the environment is not installed, the message says how to install it; or when it takes minutes.
pub async fn check<A: AsRef<OsStr>>(client: &str, arguments: &[A]) -> Outcome {
    let mut command = Command::new(tool(&format!("{client}/bin/python")));
    command
        .env_clear()
        .env("PATH", search_path())
        // Nothing beside the script is written.
        .arg("-B")
        .arg(checkout().join("tests/conformance").join(client).join("check.py"))
        .args(arguments);
    outcome::run(command, Duration::from_secs(180)).await
}
