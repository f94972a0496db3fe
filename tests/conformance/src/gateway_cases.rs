//! Cases of a running gateway that are data: a configuration, and requests with what comes of them.
//!
//! `cases/gateway/README.md` says how they are written, [`format`] which fields there are, [`play`] how they are played.

mod format;
mod play;

use std::fs;

use futures_util::{StreamExt, stream};

use self::format::Scene;
use crate::checkout;

/// Two cores start this many gateways at a time without waiting for each other much.
const AT_ONCE: usize = 4;

/// Plays one file of `cases/gateway/`, and says all that was wrong in it.
///
/// # Panics
/// With every step that went otherwise than the file says.
#[expect(clippy::print_stdout, reason = "the output of a test")]
pub async fn run(file: &str) {
    let path = checkout().join("tests/conformance/cases/gateway").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let scenes: Vec<Scene> = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let steps: usize = scenes.iter().map(|scene| scene.steps.len()).sum();
    let faults: Vec<Vec<String>> =
        stream::iter(&scenes).map(play::play).buffer_unordered(AT_ONCE).collect().await;
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    println!("{file}: {} scenes, {steps} steps, {} of them wrong", scenes.len(), faults.len());
    assert!(faults.is_empty(), "\n\n{}\n", faults.join("\n\n"));
}

/// Every file in `cases/gateway/`, sorted.
///
/// # Panics
/// When the folder cannot be read.
pub fn files() -> Vec<String> {
    let folder = checkout().join("tests/conformance/cases/gateway");
    let entries = fs::read_dir(folder).expect("the folder of the gateway's cases");
    let names =
        entries.map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    names
}
