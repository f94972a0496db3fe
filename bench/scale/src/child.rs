//! A measurement in a process of its own: its task comes as JSON on standard input, its figures go out the same way.
//!
//! Owns: starting one and running as one. Must not know: what the figures mean.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::{Failure, cold, memory, nudged, reading, steady};

/// Runs `scale child NAME` and returns its figures.
pub(crate) async fn measure<T: DeserializeOwned>(name: &str, task: &impl Serialize) -> Result<T, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(task)?).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(format!("the measurement {name} failed").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs as a child.
pub(crate) async fn run(name: &str) -> Result<(), Failure> {
    match name {
        "cold-engine" => answer(&cold::engine(task()?).await?),
        "cold-bare" => answer(&cold::bare(task()?).await?),
        "steady-engine" => answer(&steady::engine(task()?).await?),
        "steady-bare" => answer(&steady::bare(task()?).await?),
        "reading" => answer(&reading::read(task()?).await?),
        "nudged" => answer(&nudged::rounds(task()?).await?),
        "memory" => answer(&memory::take(task()?).await?),
        "memory-one-slot" => answer(&memory::one_slot(task()?).await?),
        _ => Err(format!("no measurement is called {name}").into()),
    }
}

fn task<T: DeserializeOwned>() -> Result<T, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn answer(figures: &impl Serialize) -> Result<(), Failure> {
    std::io::stdout().write_all(&serde_json::to_vec(figures)?)?;
    Ok(())
}
