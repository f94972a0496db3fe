//! Reading one slot from 8 threads while it rotates 1,000 times a second.
//!
//! The slot belongs to an engine whose vault is a snapshot of an environment: a new snapshot and a refresh a
//! millisecond, all on one thread, swap its value by the same way that any rotation takes. Readers time 10,000 reads
//! at once, and look at each value: its first, middle and last letter must be the same one.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use postern_client::Trust;
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::rotate::{Engine, Nudge};
use postern_secrets::slot::Slot;
use postern_secrets::{Kind, Settings, Template};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, interval};

use crate::bao::Bao;
use crate::report::Report;
use crate::stand::thread_cpu;
use crate::stats::{median, percentile};
use crate::{Effort, Failure, child};

const READERS: usize = 8;
const READS: u32 = 10_000;
const LENGTH: usize = 32;
const RUN: Duration = Duration::from_secs(3);

/// Nanoseconds a read, by the wall clock and by the reader's own CPU time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reads {
    wall: [f64; 2],
    cpu: [f64; 2],
    /// The same with a counted value ([`Slot::load`]).
    load_median: f64,
    rotations_a_second: f64,
    wrong: u64,
    reads: u64,
}

/// What one reader found.
#[derive(Default)]
struct Batches {
    wall: Vec<f64>,
    cpu: Vec<f64>,
    wrong: u64,
}

/// An engine that reads one variable, as it is in the `round`-th snapshot.
pub(crate) fn snapshot(round: usize) -> Resolver {
    let letter = char::from(b'a' + u8::try_from(round % 26).unwrap_or_default());
    let env = Env::new([("ROTATED".to_owned(), letter.to_string().repeat(LENGTH))]);
    Resolver::new(env, Trust::none()).with_vault(
        "env",
        Ok(Settings::empty(Kind::Env)),
        Origin::new("the benchmark"),
    )
}

/// The slot of that variable.
pub(crate) async fn rotated_slot(engine: &Engine) -> Result<Arc<Slot>, Failure> {
    let slot = engine.slot(&Template::parse("{vault://env/rotated}")?);
    engine.settled(std::slice::from_ref(&slot)).await;
    Ok(slot)
}

/// One rotation.
pub(crate) async fn rotate(engine: &Engine, round: usize) {
    engine.prepare(snapshot(round)).commit();
    engine.refresh(&Nudge::All).await;
}

/// The measurement.
pub(crate) async fn read((): ()) -> Result<Reads, Failure> {
    let engine = Engine::start(snapshot(0));
    let slot = rotated_slot(&engine).await?;
    let (batches, rotations_a_second) = while_rotating(&engine, &slot, |slot| slot.with(right)).await?;
    let (loads, _) =
        while_rotating(&engine, &slot, |slot| right(slot.load().as_ref().map(|value| value.expose())))
            .await?;
    Ok(Reads {
        wall: [median(&batches.wall), percentile(&batches.wall, 99.0)],
        cpu: [median(&batches.cpu), percentile(&batches.cpu, 99.0)],
        load_median: median(&loads.wall),
        rotations_a_second,
        wrong: batches.wrong + loads.wrong,
        reads: (batches.wall.len() + loads.wall.len()) as u64 * u64::from(READS),
    })
}

async fn while_rotating(
    engine: &Engine,
    slot: &Arc<Slot>,
    read: impl Fn(&Slot) -> bool + Copy + Send + 'static,
) -> Result<(Batches, f64), Failure> {
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (slot, done) = (Arc::clone(slot), Arc::clone(&done));
            thread::spawn(move || read_on(&slot, &done, read))
        })
        .collect();

    let (started, before) = (Instant::now(), slot.generation());
    let mut tick = interval(Duration::from_millis(1));
    let mut round = 0;
    while started.elapsed() < RUN {
        tick.tick().await;
        round += 1;
        rotate(engine, round).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let rotations = (slot.generation() - before) as f64 / started.elapsed().as_secs_f64();

    done.store(true, Ordering::Relaxed);
    let mut all = Batches::default();
    for reader in readers {
        let one = reader.join().map_err(|_| "a reader panicked")?;
        all.wall.extend(one.wall);
        all.cpu.extend(one.cpu);
        all.wrong += one.wrong;
    }
    Ok((all, rotations))
}

fn read_on(slot: &Slot, done: &AtomicBool, read: impl Fn(&Slot) -> bool) -> Batches {
    let mut batches = Batches::default();
    let each = |took: Duration| took.as_secs_f64() * 1e9 / f64::from(READS);
    while !done.load(Ordering::Relaxed) {
        let (started, cpu) = (Instant::now(), thread_cpu());
        let mut wrong = 0;
        for _ in 0..READS {
            wrong += u64::from(!read(black_box(slot)));
        }
        batches.cpu.push(each(thread_cpu() - cpu));
        batches.wall.push(each(started.elapsed()));
        batches.wrong += wrong;
    }
    batches
}

/// Whether a value is whole: neither empty nor of two rotations.
fn right(value: Option<&str>) -> bool {
    let Some(bytes) = value.map(str::as_bytes) else { return false };
    bytes.len() == LENGTH && bytes[0] == bytes[LENGTH / 2] && bytes[0] == bytes[LENGTH - 1]
}

/// Several runs of it.
pub(crate) async fn measure(_: &Bao, effort: Effort, report: &mut Report) -> Result<(), Failure> {
    let mut runs: Vec<Reads> = Vec::new();
    for _ in 0..effort.runs.div_ceil(4) {
        runs.push(child::measure("reading", &()).await?);
    }
    let of = |pick: fn(&Reads) -> f64| median(&runs.iter().map(pick).collect::<Vec<_>>());
    let (wrong, reads) = runs.iter().fold((0, 0), |sum, run| (sum.0 + run.wrong, sum.1 + run.reads));
    let (nanoseconds, rotations) = (of(|run| run.wall[0]), of(|run| run.rotations_a_second));
    report.row(
        "reading a slot from 8 threads while it rotates 1,000 times a second",
        "≤ 20 ns median; never torn or empty",
        format_args!(
            "{nanoseconds:.1} ns; {wrong} torn or empty of {reads} reads; {rotations:.0} rotations a second"
        ),
        nanoseconds <= 20.0 && wrong == 0 && rotations >= 950.0,
    );
    report.note(format_args!(
        "Reads were timed in batches of 10,000, a look at each value included. p99 of the batches: {:.1} ns a read in \
         CPU time, {:.1} ns by the wall clock, in which 8 readers and the writer wait for {} cores. `Slot::load`, which \
         counts the value, takes {:.1} ns.",
        of(|run| run.cpu[1]),
        of(|run| run.wall[1]),
        thread::available_parallelism()?,
        of(|run| run.load_median)
    ));
    Ok(())
}
