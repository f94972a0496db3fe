//! From `kv put` and a nudge to the new value in the slot, with 10,000 references in the same engine.
//!
//! The clock starts before the write is sent, and stops when a user of the slot sees the new value.

use std::sync::Arc;

use postern_secrets::rotate::{Engine, Nudge};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bao::Bao;
use crate::report::Report;
use crate::stand::{KEYS, Stand, fields, secret_name, slots, templates, value};
use crate::stats::{median, percentile};
use crate::{Effort, Failure, child};

const ROUNDS: usize = 200;

/// Milliseconds of each round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Took {
    /// From before the write.
    whole: Vec<f64>,
    /// From the nudge.
    nudge: Vec<f64>,
}

/// The rounds.
pub(crate) async fn rounds(stand: Stand) -> Result<Took, Failure> {
    let engine = Engine::start(stand.resolver(None)?);
    let slots = slots(&engine, &templates()?);
    engine.settled(&slots).await;
    let writer = stand.writer();
    let mut took = Took { whole: Vec::new(), nudge: Vec::new() };
    for round in 1..=ROUNDS {
        let number = round * 5 - 1;
        let slot = &slots[number * KEYS];
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let user = slot.derive("the benchmark", move |_| {
            tell.notify_one();
            Ok(())
        })?;
        // It was made once, from the old value.
        changed.notified().await;

        let started = Instant::now();
        let path = format!("secret/data/{}", secret_name(number));
        writer.post(&path, &json!({"data": fields(number, round)})).await?;
        let nudged = Instant::now();
        let reference = slot.template().references().next().ok_or("no reference")?.clone();
        engine.nudge(&Nudge::Reference(reference));
        changed.notified().await;
        let (whole, nudge) = (started.elapsed(), nudged.elapsed());
        if slot.with(|now| now != Some(value(number, 0, round).as_str())) {
            return Err("the slot does not hold the new value".into());
        }
        drop(user);
        took.whole.push(whole.as_secs_f64() * 1e3);
        took.nudge.push(nudge.as_secs_f64() * 1e3);
    }
    Ok(took)
}

/// All rounds.
pub(crate) async fn measure(bao: &Bao, _: Effort, report: &mut Report) -> Result<(), Failure> {
    let took: Took = child::measure("nudged", &bao.stand().await?).await?;
    // What comes after must find what it expects.
    bao.put_all(0).await?;
    let slowest = percentile(&took.whole, 99.0);
    report.row(
        "from `kv put` plus nudge to the new value in the slot",
        "≤ 50 ms p99",
        format_args!("p50 {:.1} ms, p99 {slowest:.1} ms", median(&took.whole)),
        slowest <= 50.0,
    );
    report.note(format_args!(
        "Of the time from `kv put`, {ROUNDS} rounds with 10,000 references in the engine: from the nudge alone p50 \
         {:.1} ms, p99 {:.1} ms.",
        median(&took.nudge),
        percentile(&took.nudge, 99.0)
    ));
    Ok(())
}
