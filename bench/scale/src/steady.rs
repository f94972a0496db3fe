//! The steady state: 10,000 references with ttl 60, for minutes, with nothing else to do.
//!
//! Beside it, in the same minutes, a bare loop does as many GETs, spread as the engine's are: 1,000 within a few
//! seconds of each minute. What the engine takes above that is its own.

use std::time::Duration;

use postern_secrets::rotate::Engine;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bao::Bao;
use crate::report::{Report, progress};
use crate::stand::{SECRETS, Stand, check, process_cpu, secret_name, slots, templates};
use crate::{Effort, Failure, child};

/// The first reads are due a minute after the start; this is between two waves of them.
const LEAD_IN: Duration = Duration::from_secs(30);
/// The waves spread over 3 seconds more each minute; the bare loop's over this.
const WAVE: Duration = Duration::from_secs(6);
const MINUTE: Duration = Duration::from_secs(60);

/// What a child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    stand: Stand,
    minutes: u32,
}

/// What it found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Used {
    cpu_ms: f64,
}

/// The engine's side.
pub(crate) async fn engine(task: Task) -> Result<Used, Failure> {
    let engine = Engine::start(task.stand.resolver(Some(60))?);
    let slots = slots(&engine, &templates()?);
    engine.settled(&slots).await;
    check(&slots, 0)?;
    sleep(LEAD_IN).await;

    let cpu = process_cpu();
    sleep(MINUTE * task.minutes).await;
    let used = Used { cpu_ms: (process_cpu() - cpu).as_secs_f64() * 1e3 };
    check(&slots, 0)?;
    Ok(used)
}

/// The bare loop.
pub(crate) async fn bare(task: Task) -> Result<Used, Failure> {
    let (http, cpu, started) = (task.stand.reader(), process_cpu(), Instant::now());
    let gap = WAVE / u32::try_from(SECRETS)?;
    let mut gets = JoinSet::new();
    for minute in 0..task.minutes {
        let mut at = started + MINUTE * minute;
        for number in 0..SECRETS {
            sleep_until(at).await;
            at += gap;
            let http = http.clone();
            gets.spawn(
                async move { http.get(&format!("secret/data/{}", secret_name(number))).await.map(drop) },
            );
            while let Some(done) = gets.try_join_next() {
                done??;
            }
        }
    }
    while let Some(done) = gets.join_next().await {
        done??;
    }
    Ok(Used { cpu_ms: (process_cpu() - cpu).as_secs_f64() * 1e3 })
}

/// Both at once.
pub(crate) async fn measure(bao: &Bao, effort: Effort, report: &mut Report) -> Result<(), Failure> {
    let minutes = effort.steady_minutes;
    let task = Task { stand: bao.stand().await?, minutes };
    progress(&format!("steady: {} minutes", minutes + 1));
    let mark = bao.mark()?;
    let (ours, bare) =
        tokio::join!(child::measure("steady-engine", &task), child::measure("steady-bare", &task));
    let (ours, bare): (Used, Used) = (ours?, bare?);
    let seen = bao.seen_since(mark)?;

    let minutes = f64::from(minutes);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let (reads, secrets) = (seen.reads as f64, SECRETS as f64);
    // Without the cold start's, and without the bare loop's.
    let reads = (reads - secrets) / minutes - secrets;
    let percent = |ms: f64| ms / minutes / 60_000.0 * 100.0;
    let (ours_percent, bare_percent) = (percent(ours.cpu_ms), percent(bare.cpu_ms));
    let own = ours_percent - bare_percent;
    report.row(
        "10,000 references with ttl 60, steady: reads a minute",
        "≤ 1,000",
        format_args!("{reads:.0}; logins after the start: {}", seen.logins.saturating_sub(1)),
        reads <= secrets,
    );
    report.row(
        "the same: CPU",
        "< 1 % of a core + the HTTP work",
        format_args!("{own:.2} % of a core (all {ours_percent:.2} %, HTTP work {bare_percent:.2} %)"),
        own < 1.0,
    );
    report.note(format_args!(
        "Steady state over {minutes} minutes: {:.2} CPU seconds a minute; {:.2} for the bare loop with the same GETs, \
         spread over {} s of each minute, at the same time.",
        ours.cpu_ms / minutes / 1e3,
        bare.cpu_ms / minutes / 1e3,
        WAVE.as_secs()
    ));
    Ok(())
}
