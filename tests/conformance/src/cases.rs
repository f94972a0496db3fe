//! Cases as data: `cases/*.yaml`, each a run of the program with what it must say.
//!
//! `cases/format.rs` is the shape of the files, `cases/play.rs` runs one case. Here: find the files, run all,
//! and hold them against `skipped.yaml`, the one list of cases that may fail. Each entry there has a reason,
//! and a case that has begun to pass must leave it: the list only shrinks.

mod format;
mod placeholders;
mod play;

pub use format::{Case, Expect, Given, Idp, ServerKind, Skipped};

use std::{collections::BTreeSet, fs, path::PathBuf};

use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;

use crate::checkout;

/// Servers of this many cases run at the same time: the tests share two cores with each other.
const AT_ONCE: usize = 2;

/// Runs every case of every file; prints each name with its verdict.
///
/// # Panics
/// With all failures, when there are any.
#[expect(clippy::print_stdout, reason = "the verdicts, as cargo prints those of tests")]
pub async fn run_all() {
    let files = case_files();
    assert!(!files.is_empty(), "no cases in {}", folder().display());
    let skipped: Vec<Skipped> = load(&folder().join("skipped.yaml"));
    let mut cases: Vec<Case> = Vec::new();
    for file in &files {
        cases.extend(load::<Vec<Case>>(file));
    }
    let mut failures = check_names(&cases, &skipped);
    let mut passed = 0;
    let verdicts: Vec<_> = stream::iter(&cases)
        .map(|case| async move { (case, play::play(case).await) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (case, verdict) in verdicts {
        let skip = skipped.iter().find(|skip| skip.name == case.name);
        match (verdict, skip) {
            (Ok(()), None) => {
                passed += 1;
                println!("case {} ... ok", case.name);
            }
            (Err(why), None) => {
                println!("case {} ... FAILED", case.name);
                failures.push(format!("{}: {why}", case.name));
            }
            (Err(_), Some(skip)) => println!("case {} ... skipped: {}", case.name, skip.reason),
            (Ok(()), Some(_)) => {
                println!("case {} ... passes, but is skipped", case.name);
                failures.push(format!("{} passes now: take it out of skipped.yaml", case.name));
            }
        }
    }
    println!("{passed} cases passed, {} skipped, {} failures", skipped.len(), failures.len());
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
}

fn check_names(cases: &[Case], skipped: &[Skipped]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut names = BTreeSet::new();
    for case in cases {
        if !names.insert(case.name.as_str()) {
            failures.push(format!("two cases are called {:?}", case.name));
        }
    }
    for skip in skipped {
        if !names.contains(skip.name.as_str()) {
            failures.push(format!("skipped.yaml names {:?}, which is no case", skip.name));
        }
        if skip.reason.trim().len() < 10 {
            failures.push(format!("skipped.yaml gives no reason for {:?}", skip.name));
        }
    }
    failures
}

fn folder() -> PathBuf {
    checkout().join("tests/conformance/cases")
}

fn case_files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .expect("the folder of the cases")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| !path.ends_with("skipped.yaml"))
        .collect();
    files.sort();
    files
}

fn load<T: DeserializeOwned>(path: &PathBuf) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
