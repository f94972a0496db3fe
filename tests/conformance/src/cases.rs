//! Cases as data: `cases/*.yaml`, each a run of the program with what it must say.
//!
//! `cases/format.rs` is the shape of the files, `cases/play.rs` runs one case. Here: find the files, run all,
//! and hold them against `skipped.yaml`, the one list of cases that may fail. Each entry there has a reason,
//! and a case that has begun to pass must leave it: the list only shrinks.

mod format;
mod placeholders;
mod play;

pub use format::{Case, Expect, Given, Idp, Run, ServerKind, Servers, Skipped};

use std::{collections::BTreeSet, fs, path::PathBuf};

use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;

use crate::checkout;

/// Servers of this many cases run at the same time: the tests share two cores with each other.
const AT_ONCE: usize = 2;

/// Runs every case of one file, on each of its servers; prints each name with its verdict.
///
/// # Panics
/// With all failures, when there are any.
#[expect(clippy::print_stdout, reason = "the verdicts, as cargo prints those of tests")]
pub async fn run_all(file: &str) {
    let skipped: Vec<Skipped> = load(&folder().join("skipped.yaml"));
    let cases: Vec<Case> = load(&folder().join(file));
    let mut failures = Vec::new();
    let mut passed = 0;
    let plays =
        cases.iter().flat_map(|case| case.given.server.all().iter().map(move |server| (case, *server)));
    let verdicts: Vec<_> =
        stream::iter(plays).map(|(case, server)| play::play(case, server)).buffered(AT_ONCE).collect().await;
    for (name, verdict) in verdicts.into_iter().flatten() {
        let skip = skipped.iter().find(|skip| skip.name == name);
        match (verdict, skip) {
            (Ok(()), None) => {
                passed += 1;
                println!("case {name} ... ok");
            }
            (Err(why), None) => {
                println!("case {name} ... FAILED");
                failures.push(format!("{name}: {why}"));
            }
            (Err(_), Some(skip)) => println!("case {name} ... skipped: {}", skip.reason),
            (Ok(()), Some(_)) => {
                println!("case {name} ... passes, but is skipped");
                failures.push(format!("{name} passes now: take it out of skipped.yaml"));
            }
        }
    }
    println!("{passed} runs passed, {} failures", failures.len());
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
}

/// Checks that `tested` are all the files there are, that names are unique among them, that each case either runs
/// once or has several runs, and that `skipped.yaml` names runs that there are, with reasons.
///
/// # Panics
/// With all faults.
pub fn check_files(tested: &[&str]) {
    let skipped: Vec<Skipped> = load(&folder().join("skipped.yaml"));
    let files = case_files();
    let cases: Vec<Case> = files.iter().flat_map(load::<Vec<Case>>).collect();
    let mut faults = faults(&cases, &skipped);
    for file in files.iter().filter(|file| !tested.iter().any(|tested| file.ends_with(tested))) {
        faults.push(format!("{} is not tested: add it to tests/it/cases.rs", file.display()));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn faults(cases: &[Case], skipped: &[Skipped]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    for case in cases {
        if case.run.is_empty() == case.runs.is_empty() {
            faults.push(format!("{:?} needs either run or runs", case.name));
        }
        for name in play::names(case) {
            if let Some(name) = names.replace(name) {
                faults.push(format!("two runs are called {name:?}"));
            }
        }
    }
    for skip in skipped {
        if !names.contains(&skip.name) {
            faults.push(format!("skipped.yaml names {:?}, which is no run", skip.name));
        }
        if skip.reason.trim().len() < 10 {
            faults.push(format!("skipped.yaml gives no reason for {:?}", skip.name));
        }
    }
    faults
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
