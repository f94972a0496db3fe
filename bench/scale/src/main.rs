//! `scale`: the secret engine with ten thousand references, against a real OpenBao on this machine.
//!
//! Owns: the order of the measurements. What is measured runs in a process of its own (`scale child NAME`), so that
//! its CPU and memory are its own; this one prepares the servers ([`bao`]), starts the children ([`child`]), counts
//! what OpenBao's audit log saw, and prints the table ([`report`]). Each measurement has a file with both sides:
//!
//! - [`cold`]: 10,000 references on 1,000 secrets, beside a bare loop of GETs
//! - [`steady`]: the same with ttl 60, for minutes
//! - [`reading`]: a slot read by 8 threads while it rotates
//! - [`nudged`]: from `kv put` and a nudge to the new value in the slot
//! - [`memory`]: what 10,000 references take, and whether it grows

mod bao;
mod child;
mod cold;
mod http;
mod memory;
mod nudged;
mod reading;
mod report;
mod stand;
mod stats;
mod steady;

use std::process::ExitCode;

use bao::Bao;
use report::Report;

/// What can go wrong in a benchmark: it is told, and ends it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    runs: usize,
    steady_minutes: u32,
}

const FULL: Effort = Effort { runs: 21, steady_minutes: 4 };
const QUICK: Effort = Effort { runs: 5, steady_minutes: 1 };

const USAGE: &str = "usage: scale [quick] [cold|steady|reading|nudged|memory]...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(&arguments)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::fail(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<(), Failure> {
    if let [first, name] = arguments
        && first == "child"
    {
        return child::run(name).await;
    }
    let (effort, wanted) = match arguments.split_first() {
        Some((first, rest)) if first == "quick" => (QUICK, rest),
        _ => (FULL, arguments),
    };
    let known = ["cold", "steady", "reading", "nudged", "memory"];
    if wanted.iter().any(|name| !known.contains(&name.as_str())) {
        return Err(USAGE.into());
    }
    let wants = |name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);

    let mut report = Report::default();
    let bao = Bao::start().await?;
    if wants("cold") {
        cold::measure(&bao, effort, &mut report).await?;
    }
    if wants("steady") {
        steady::measure(&bao, effort, &mut report).await?;
    }
    if wants("reading") {
        reading::measure(&bao, effort, &mut report).await?;
    }
    if wants("nudged") {
        nudged::measure(&bao, effort, &mut report).await?;
    }
    if wants("memory") {
        memory::measure(&bao, effort, &mut report).await?;
    }
    report.print(&bao.version().await?)
}
