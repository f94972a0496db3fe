//! What 10,000 references take in memory, and whether it grows over 100,000 rotations.
//!
//! Resident memory as the kernel counts it, of a process that has logged in and read one secret before, so that
//! connections and code are not charged to the references. Values are 32 bytes.

use postern_secrets::rotate::{Engine, Nudge};
use serde::{Deserialize, Serialize};

use crate::bao::{Bao, put_all};
use crate::reading::{rotate, rotated_slot, snapshot};
use crate::report::Report;
use crate::stand::{KEYS, SECRETS, Stand, check, resident_kib, slots, template, templates};
use crate::{Effort, Failure, child};

/// Each rotates all 10,000 slots.
const ROUNDS: usize = 10;
/// Rounds before the count starts: buffers reach the size they keep.
const WARM_UP: usize = 3;

/// KiB.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// For the references' own texts, parsed, as a configuration holds them.
    templates: u64,
    /// For slots, values and the engine's books.
    slots: u64,
    before: u64,
    after: u64,
}

/// KiB before and after.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct OneSlot {
    before: u64,
    after: u64,
}

/// All references, rotated through OpenBao.
pub(crate) async fn take(stand: Stand) -> Result<Taken, Failure> {
    let engine = Engine::start(stand.resolver(None)?);
    // One alone: what 10,000 leave behind would be used again by those that count.
    let warm = engine.slot(&template(0, 0)?);
    engine.settled(std::slice::from_ref(&warm)).await;

    let empty = resident_kib()?;
    let templates = templates()?;
    let parsed = resident_kib()?;
    let slots = slots(&engine, &templates);
    engine.settled(&slots).await;
    let full = resident_kib()?;
    check(&slots, 0)?;

    let writer = stand.writer();
    let mut before = 0;
    for round in 1..=WARM_UP + ROUNDS {
        put_all(&writer, round).await?;
        engine.refresh(&Nudge::All).await;
        check(&slots, round)?;
        if round == WARM_UP {
            before = resident_kib()?;
        }
    }
    Ok(Taken { templates: parsed - empty, slots: full - parsed, before, after: resident_kib()? })
}

/// One slot, rotated 100,000 times in memory.
pub(crate) async fn one_slot((): ()) -> Result<OneSlot, Failure> {
    let engine = Engine::start(snapshot(0));
    let slot = rotated_slot(&engine).await?;
    for round in 1..1_000 {
        rotate(&engine, round).await;
    }
    let before = resident_kib()?;
    for round in 1_000..101_000 {
        rotate(&engine, round).await;
    }
    if slot.generation() < 100_000 {
        return Err("the slot did not rotate".into());
    }
    Ok(OneSlot { before, after: resident_kib()? })
}

/// Both.
pub(crate) async fn measure(bao: &Bao, _: Effort, report: &mut Report) -> Result<(), Failure> {
    let taken: Taken = child::measure("memory", &bao.stand().await?).await?;
    bao.put_all(0).await?;
    let one: OneSlot = child::measure("memory-one-slot", &()).await?;
    let thousands = (SECRETS * KEYS / 1_000) as u64;
    report.row(
        "memory for 10,000 references, per 1,000",
        "stated",
        format_args!(
            "{} KiB, and {} KiB for their parsed texts",
            taken.slots / thousands,
            taken.templates / thousands
        ),
        true,
    );
    // A page cache of the allocator may come or go; a leak of one value a rotation would be megabytes.
    let flat = |before: u64, after: u64| after <= before + before / 20;
    report.row(
        "memory over 100,000 rotations",
        "flat",
        format_args!(
            "{} → {} KiB (10,000 slots, 10 times each, through OpenBao); {} → {} KiB (one slot)",
            taken.before, taken.after, one.before, one.after
        ),
        flat(taken.before, taken.after) && flat(one.before, one.after),
    );
    Ok(())
}
