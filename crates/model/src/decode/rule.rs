//! Whether a value obeys a rule, and whether a record passes a check; if not, Kong's words for it.
//!
//! Owns: the meaning of [`Rule`] and [`Check`]. Must not know: where a value was written. What it says of a built-in
//! rule never quotes the value; what a custom one says may, so callers hide that where they have to.

use crate::field::{Check, Rule};
use crate::value::{Record, Value};

/// Checks one rule. References obey every rule until they are filled in.
pub(crate) fn obeys(rule: &Rule, value: &Value) -> Result<(), String> {
    let text = value.as_text();
    let holds = match (rule, value) {
        (Rule::Custom(function), value) => return function(value),
        (Rule::OneOf(words), Value::Text(text)) => words.contains(&text.as_str()),
        (Rule::OneOfIntegers(numbers), Value::Integer(number)) => numbers.contains(number),
        (Rule::Between(low, high), value) => {
            number(value).is_none_or(|number| (*low..=*high).contains(&number))
        }
        (Rule::Above(low), value) => number(value).is_none_or(|number| number > *low),
        (Rule::LengthMin(least), value) => length(value).is_none_or(|length| length >= *least),
        (Rule::LengthMax(most), value) => length(value).is_none_or(|length| length <= *most),
        (Rule::StartsWith(start), _) => text.is_none_or(|text| text.starts_with(start)),
        // Kong takes the form with dashes only.
        (Rule::Uuid, _) => text.is_none_or(|text| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()),
        _ => true,
    };
    if holds { Ok(()) } else { Err(broken(rule)) }
}

fn broken(rule: &Rule) -> String {
    match rule {
        Rule::OneOf(words) => format!("expected one of: {}", words.join(", ")),
        Rule::OneOfIntegers(numbers) => {
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            format!("expected one of: {}", numbers.join(", "))
        }
        Rule::Between(low, high) => format!("value should be between {low} and {high}"),
        Rule::Above(low) => format!("value must be greater than {low}"),
        Rule::LengthMin(least) => format!("length must be at least {least}"),
        Rule::LengthMax(most) => format!("length must be at most {most}"),
        Rule::StartsWith(start) => format!("should start with: {start}"),
        Rule::Uuid => "expected a valid UUID".to_owned(),
        Rule::Custom(_) => "invalid value".to_owned(),
    }
}

/// Checks several fields together. The error names the one that is to blame, or none: then it is all of them.
pub(crate) fn check(check: &Check, record: &Record) -> Result<(), (&'static str, String)> {
    let given = |names: &[&str]| names.iter().filter(|name| record.get(name).is_some_and(is_given)).count();
    let quoted = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    match check {
        Check::AtLeastOneOf(names) if given(names) == 0 => {
            Err(("", format!("at least one of these fields must be non-empty: {}", quoted(names))))
        }
        Check::OnlyOneOf(names) if given(names) != 1 => {
            Err(("", format!("exactly one of these fields must be non-empty: {}", quoted(names))))
        }
        Check::AllOrNone(names) if given(names) != 0 && given(names) != names.len() => {
            Err(("", format!("all or none of these fields must be set: {}", quoted(names))))
        }
        Check::Custom(function) if !record.fields().any(|(_, value)| value.is_pending()) => function(record),
        _ => Ok(()),
    }
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        _ => true,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Text(text) => Some(text.chars().count()),
        Value::List(items) => Some(items.len()),
        Value::Map(entries) => Some(entries.len()),
        _ => None,
    }
}
