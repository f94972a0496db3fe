//! What is wanted and what is there → what is to be done, in stages.
//!
//! Owns: which wanted entity is which present one, what has to go first, and the order. Must not know: the network. Data
//! goes on to `carry_out`, stage by stage; nothing in a stage depends on anything else in it.
//!
//! The order is decK's: what stands in the way goes first, then creates and updates by kind, then deletes the other way.

mod identify;
mod steps;

use std::collections::BTreeSet;

use postern_model::Kind;
use postern_secrets::Secret;
use serde_json::Value as Json;

use super::Problems;
use super::kinds::Body;
use super::present::Present;
use super::schemas::Schemas;
use super::wanted::Wanted;

/// What is done to one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is new.
    Create,
    /// It is there, and different.
    Update,
    /// It is there, and not wanted.
    Delete,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub action: Action,
    /// To an entity of this kind.
    pub kind: Kind,
    /// Its identifier.
    pub id: String,
    /// The identifier of the one that it is written under, if it is.
    pub owner: Option<String>,
    /// What people call it. Holds no credential.
    pub name: String,
    /// What is sent. Holds credentials.
    pub body: Body,
    /// The credentials in it, which no error may repeat.
    pub secrets: Vec<Secret>,
    /// How it is and how it will be, as they may be shown.
    pub shown: (Json, Json),
}

/// What is to be done, stage after stage.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Each when the one before is done.
    pub stages: Vec<Vec<Step>>,
}

impl Plan {
    /// All steps.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flatten()
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps().count()
    }

    /// Whether the gateway is as it should be.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// What is not wanted goes.
    Exactly,
    /// What is not wanted stays, and may be referred to.
    AtLeast,
}

/// Makes the plan.
///
/// # Errors
/// Everything for which there is no plan: what is referred to and is nowhere, what stands twice.
pub fn plan(wanted: &Wanted, present: &Present, schemas: &Schemas, goal: Goal) -> Result<Plan, Problems> {
    let identified = identify::identify(wanted, present, schemas, goal)?;
    let away = in_the_way(&identified, present, goal);
    let maker = steps::Maker::new(&identified, present, schemas);
    let (mut first, mut updates, mut creates, mut last) = (by_kind(), by_kind(), by_kind(), by_kind());
    for (index, one) in identified.entities.iter().enumerate() {
        match one.matches.filter(|at| !away.contains(at)) {
            None => creates[one.kind.rank()].push(maker.create(index, one.matches)),
            Some(at) => updates[one.kind.rank()].extend(maker.update(index, at)),
        }
    }
    for (at, existing) in present.entities.iter().enumerate() {
        let is_wanted = identified.taken[at];
        if away.contains(&at) {
            first[existing.kind.rank()].push(maker.delete(at));
        } else if !is_wanted && goal == Goal::Exactly {
            last[existing.kind.rank()].push(maker.delete(at));
        }
    }
    first.reverse();
    last.reverse();
    // A name that an update gives away may be that of a new entity.
    let changes = updates.into_iter().zip(creates).flat_map(|(updates, creates)| [updates, creates]);
    let stages = first.into_iter().chain(changes).chain(last).filter(|stage| !stage.is_empty());
    Ok(Plan { stages: stages.collect() })
}

fn by_kind() -> Vec<Vec<Step>> {
    Kind::known().map(|_| Vec::new()).collect()
}

/// What must go before anything is written: the holder of a name that a file gives to another identifier, what cannot be
/// moved to another owner, and everything that hangs on either.
fn in_the_way(identified: &identify::Identified, present: &Present, goal: Goal) -> BTreeSet<usize> {
    let mut away: BTreeSet<usize> = identified.rivals.iter().copied().collect();
    if goal == Goal::Exactly {
        // Others are in the way by a second name; they would go later anyway.
        away.extend(identified.second_names.iter().copied().filter(|at| !identified.taken[*at]));
    }
    if away.is_empty() {
        return away;
    }
    let mut gone: BTreeSet<(&str, &str)> = BTreeSet::new();
    // In the order of kinds, so that whatever is referred to comes before what refers to it.
    for (at, existing) in present.entities.iter().enumerate() {
        let hangs_on = existing.kind.refers().into_iter().any(|reference| {
            let to = super::kinds::referred(&existing.body, reference.field);
            to.is_some_and(|to| gone.contains(&(reference.to, to)))
        });
        if hangs_on || away.contains(&at) {
            away.insert(at);
            gone.insert((existing.kind.collection(), &existing.id));
        }
    }
    away
}

#[cfg(test)]
mod tests;
