//! Counting in windows of time, for the plugins that limit how much somebody may use.
//!
//! Owns: what they share: windows (`window`), counts in this node (`counters`) and in a Redis (`remote`), for
//! whom something counts (`whom`), and numbers as headers have them (`told`). Must not know: what is counted, nor what comes of one too many.

pub(super) mod counters;
pub(super) mod remote;
pub(super) mod told;
pub(super) mod whom;
pub(super) mod window;

use postern_model::{Record, Value};

use self::window::Period;

/// The limits of a record with fields by period: none may be lower than that of a shorter period.
///
/// # Errors
/// The first that is: the field, and Kong's words without their beginning.
pub(super) fn limits_grow(record: &Record) -> Result<(), (&'static str, String)> {
    let given = |period: &Period| Some((period.name(), number(record, period.name())?));
    let limits: Vec<(&'static str, f64)> = Period::ALL.iter().filter_map(given).collect();
    for (index, (lower, small)) in limits.iter().enumerate() {
        if let Some((upper, large)) = limits[index + 1..].iter().find(|(_, large)| large < small) {
            let message = format!(
                "limit for {upper}({large:.1}) cannot be lower than the limit for {lower}({small:.1})"
            );
            return Err((upper, message));
        }
    }
    Ok(())
}

/// What cannot be: Kong's counts in its own database.
///
/// # Errors
/// It is that.
pub(super) fn policy(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(policy) if &**policy == "cluster" => {
            Err("counts in the database are not supported; use redis or local".to_owned())
        }
        _ => Ok(()),
    }
}

/// A number of a record.
pub(super) fn number(record: &Record, name: &str) -> Option<f64> {
    match record.get(name) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

/// How many uses pass: a limit of 1.5 lets two through, as in Kong.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, which is what is meant"
)]
pub(super) fn passes(limit: f64) -> u32 {
    limit.ceil() as u32
}
