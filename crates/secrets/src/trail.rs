//! The steps of one resolution, for people who ask why it failed or where the time went.
//!
//! Owns: the record of steps with their time, outcome and facts. Must not know: what a step does. Facts and
//! outcomes are shown as they are, so whoever adds one adds no secret. A trail that nobody reads costs nothing.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Where steps are recorded, or not. Clones write to the same record.
#[derive(Clone, Debug, Default)]
pub struct Trail(Option<Arc<Mutex<Vec<Step>>>>);

/// One finished step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was done, as a heading: "log in to the vault".
    pub name: &'static str,
    /// How long it took.
    pub elapsed: Duration,
    /// The error's text where it failed.
    pub failure: Option<String>,
    /// What is worth knowing, in order.
    pub facts: Vec<(&'static str, String)>,
}

/// A step under way. Dropped without [`OpenStep::done`], it counts as interrupted.
#[derive(Debug)]
pub struct OpenStep<'a> {
    trail: &'a Trail,
    started: Instant,
    step: Step,
}

impl Trail {
    /// A trail that records.
    pub fn recording() -> Self {
        Self(Some(Arc::default()))
    }

    /// A trail that does not.
    pub fn off() -> Self {
        Self(None)
    }

    /// Begins a step.
    pub fn step(&self, name: &'static str) -> OpenStep<'_> {
        tracing::debug!(step = name, "started");
        let step = Step { name, elapsed: Duration::ZERO, failure: None, facts: Vec::new() };
        OpenStep { trail: self, started: Instant::now(), step }
    }

    /// The finished steps, in the order in which they ended.
    pub fn steps(&self) -> Vec<Step> {
        let Some(steps) = &self.0 else { return Vec::new() };
        steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl OpenStep<'_> {
    /// Whether anybody will see the facts: some take work to tell.
    pub fn is_recorded(&self) -> bool {
        self.trail.0.is_some()
    }

    /// Notes something worth knowing; never a secret.
    pub fn fact(&mut self, name: &'static str, value: impl Display) {
        if self.is_recorded() {
            self.step.facts.push((name, value.to_string()));
        }
    }

    /// Ends the step with its outcome, which is handed back.
    pub fn done<T, E: Display>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        self.step.failure = outcome.as_ref().err().map(ToString::to_string);
        self.record();
        // The drop below must not record it again.
        self.step.name = "";
        outcome
    }

    fn record(&mut self) {
        let step = &mut self.step;
        step.elapsed = self.started.elapsed();
        match &step.failure {
            Some(failure) => tracing::debug!(step = step.name, %failure, elapsed = ?step.elapsed, "failed"),
            None => tracing::debug!(step = step.name, elapsed = ?step.elapsed, "done"),
        }
        if let Some(steps) = &self.trail.0 {
            steps.lock().unwrap_or_else(PoisonError::into_inner).push(step.clone());
        }
    }
}

impl Drop for OpenStep<'_> {
    fn drop(&mut self) {
        if !self.step.name.is_empty() {
            self.step.failure = Some("interrupted".to_owned());
            self.record();
        }
    }
}
