//! Are two replies the same, but for what must differ?
//!
//! Random texts and times are replaced by their kind (`<uuid>`, `<time>`, `<token>`) before, so that presence and
//! form are compared and the value is not. Everything else must be equal.

use super::{client::Reply, place, script::Step};
use serde_json::Value;

/// What is wrong with a pair of replies: differences that nobody listed, and listed ones that are none.
pub(super) fn judge(step: &Step, ours: &Reply, theirs: &Reply) -> Vec<String> {
    let mut differences = Vec::new();
    if ours.status != theirs.status {
        differences.push(("/".to_owned(), format!("status {} != {}", ours.status, theirs.status)));
    }
    find("", &normal("", &ours.body), &normal("", &theirs.body), &mut differences);
    let covers = |listed: &str, found: &str| {
        listed == "/" || found == listed || found.starts_with(&format!("{listed}/"))
    };
    let mut faults: Vec<String> = differences
        .iter()
        .filter(|(at, _)| !step.differences.iter().any(|listed| covers(listed, at)))
        .map(|(at, what)| format!("{}\n  at {at}: {what}", place(step)))
        .collect();
    for listed in &step.differences {
        if !differences.iter().any(|(at, _)| covers(listed, at)) {
            faults.push(format!(
                "{}\n  {listed} is listed as a difference, but is none: remove it",
                place(step)
            ));
        }
    }
    faults
}

/// Collects where two documents differ, as JSON pointers, ours before theirs.
fn find(at: &str, ours: &Value, theirs: &Value, found: &mut Vec<(String, String)>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut keys: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (ours.get(key), theirs.get(key)) {
                    (Some(ours), Some(theirs)) => find(&at, ours, theirs, found),
                    (Some(_), None) => found.push((at, "only the dev vault has it".to_owned())),
                    _ => found.push((at, "only OpenBao has it".to_owned())),
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                find(&format!("{at}/{index}"), ours, theirs, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push((at.to_owned(), format!("{ours} != {theirs}"))),
    }
}

/// Replaces what is random, a time, or a name of the product.
fn normal(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), normal(key, value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        // Lists of accessors are as long as there are tokens, and in no order.
        Value::Array(items) if key == "keys" && items.iter().all(|item| kind("accessor", item).is_some()) => {
            format!("<{} accessors>", items.len()).into()
        }
        Value::Array(items) => items.iter().map(|item| normal("", item)).collect::<Vec<_>>().into(),
        scalar => kind(key, scalar).map_or_else(|| scalar.clone(), Value::from),
    }
}

fn kind(key: &str, value: &Value) -> Option<&'static str> {
    if let Some(number) = value.as_u64() {
        return match key {
            "creation_time" | "server_time_utc" | "last_renewal_time" => Some("<unix time>"),
            // A second may pass between the two.
            "ttl" if number > 0 => Some("<seconds>"),
            _ => None,
        };
    }
    let text = value.as_str()?;
    let plain = |length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match key {
        "version" | "running_plugin_version" | "commit_date" => return Some("<version>"),
        "cluster_name" => return Some("<name>"),
        "accessor" | "wrapped_accessor" if plain(24) => return Some("<accessor>"),
        "accessor" if text.rsplit_once('_').is_some_and(|(_, tail)| tail.len() == 8) => {
            return Some("<mount accessor>");
        }
        _ => {}
    }
    let uuid = text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4;
    let time = text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    match text {
        _ if uuid => Some("<uuid>"),
        _ if time => Some("<time>"),
        _ if text.starts_with("s.") && text.len() == 26 => Some("<service token>"),
        _ if text.starts_with("b.") && text.len() > 26 => Some("<batch token>"),
        _ => None,
    }
}
