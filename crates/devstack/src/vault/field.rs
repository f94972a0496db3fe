//! Reads the fields of a request body as leniently as Vault does: the command line sends everything as text.
//!
//! Owns the conversions and their error texts. Must not know what the fields mean.

use super::reply::Refusal;
use serde_json::{Map, Value};
use std::time::Duration;

/// A request body, read field by field. Absent and `null` are the same.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Result<Option<String>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(u8::from(*flag).to_string())),
            Some(other) => Err(unconvertible(name, "string", other)),
        }
    }

    pub(super) fn flag(self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) => match text.as_str() {
                "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(Some(true)),
                "false" | "FALSE" | "False" | "f" | "F" | "0" | "" => Ok(Some(false)),
                _ => Err(invalid(name, "cannot parse value as 'bool': strconv.ParseBool: invalid syntax")),
            },
            Some(Value::Number(number)) => Ok(Some(number.as_i64() != Some(0))),
            Some(other) => Err(unconvertible(name, "bool", other)),
        }
    }

    pub(super) fn number(self, name: &str) -> Result<Option<i64>, Refusal> {
        self.get(name).map(|value| integer(name, "", value)).transpose()
    }

    /// A list of whole numbers; `"1,2"` is one too.
    pub(super) fn numbers(self, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        let items: Vec<Value> = match self.get(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => items.clone(),
            Some(Value::String(text)) => text.split(',').map(|part| Value::from(part.trim())).collect(),
            Some(one) => vec![one.clone()],
        };
        let numbers =
            items.iter().enumerate().map(|(index, item)| integer(name, &format!("[{index}]"), item));
        numbers.collect::<Result<_, _>>().map(Some)
    }

    /// A list of texts; a comma-separated text is one too.
    pub(super) fn texts(self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            )),
            _ => self.array(name),
        }
    }

    /// A list of texts; a text is a list of one.
    pub(super) fn array(self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text.clone()),
                    Value::Number(number) => Ok(number.to_string()),
                    other => Err(unconvertible(name, "string", other)),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(unconvertible(name, "[]string", other)),
        }
    }

    /// Seconds as a number, or a text with a unit: `90`, `"90"`, `"1h30m"`. Negative ones are kept.
    pub(super) fn seconds(self, name: &str) -> Result<Option<i64>, Refusal> {
        let convert = |text: &str| parse_seconds(text).map_err(|error| invalid_plain(name, &error));
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => convert(text).map(Some),
            Some(Value::Number(number)) => convert(&number.to_string()).map(Some),
            Some(other) => Err(unconvertible(name, "duration", other)),
        }
    }

    /// As [`Fields::seconds`], where a negative one means zero.
    pub(super) fn duration(self, name: &str) -> Result<Option<Duration>, Refusal> {
        Ok(self.seconds(name)?.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default())))
    }

    /// A JSON object.
    pub(super) fn object(self, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(other) => Err(unconvertible(name, "map[string]interface {}", other)),
        }
    }
}

/// Parses Go's notation of durations, or plain seconds.
pub(super) fn parse_seconds(text: &str) -> Result<i64, String> {
    let failed = || format!("time: invalid duration \"{text}\"");
    let text_in = text.trim();
    if let Ok(seconds) = text_in.parse::<i64>() {
        return Ok(seconds);
    }
    let (sign, mut rest) = match text_in.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text_in),
    };
    if rest.is_empty() {
        return Err(failed());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(failed)?;
        let count: f64 = rest[..digits].parse().map_err(|_| failed())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += count
            * match &rest[..unit_end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return Err(failed()),
            };
        rest = &rest[unit_end..];
    }
    Ok((sign * total) as i64)
}

fn integer(name: &str, at: &str, value: &Value) -> Result<i64, Refusal> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    };
    number.ok_or_else(|| {
        let what = format!("'{at}' cannot parse value as 'int': strconv.ParseInt: invalid syntax");
        let list = if at.is_empty() { "" } else { "decoding failed due to the following error(s):\n\n" };
        Refusal::bad(format!(
            "Field validation failed: error converting input for field \"{name}\": {list}{what}"
        ))
    })
}

fn invalid(name: &str, what: &str) -> Refusal {
    Refusal::bad(format!("error converting input for field \"{name}\": '' {what}"))
}

fn invalid_plain(name: &str, what: &str) -> Refusal {
    Refusal::bad(format!("error converting input for field \"{name}\": {what}"))
}

fn unconvertible(name: &str, wanted: &str, got: &Value) -> Refusal {
    let got = match got {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "json.Number",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    invalid(name, &format!("expected type '{wanted}', got unconvertible type '{got}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, seconds) in
            [("90", 90), ("1h", 3600), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172_800), ("-1h", -3600)]
        {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
        for text in ["", "x", "1x", "h", "-", "1 h"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
