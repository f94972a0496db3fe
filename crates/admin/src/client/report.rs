//! What people and scripts are told: decK's lines, and decK's JSON.
//!
//! Owns: both forms. Must not know: where they are written. Steps bring what may be shown with them; nothing else is read.

use serde::Serialize as _;
use serde_json::{Map, Value as Json, json};

use super::carry_out::Done;
use super::kinds::Body;
use super::plan::{Action, Step};

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// What was done, or would be.
    pub done: Vec<&'a Step>,
    /// What was not begun.
    pub dropped: Vec<&'a Step>,
    /// What went wrong.
    pub errors: Vec<String>,
    /// What else is to be said.
    pub warnings: Vec<String>,
}

impl<'a> Report<'a> {
    /// Of a run.
    pub fn of(outcome: Vec<(&'a Step, Done)>) -> Self {
        let mut report = Self::default();
        for (step, done) in outcome {
            match done {
                Done::Yes => report.done.push(step),
                Done::Dropped => report.dropped.push(step),
                Done::Failed(error) => report.errors.push(failure(step, &error)),
            }
        }
        report
    }

    /// How many were created, updated, deleted.
    pub fn count(&self, action: Action) -> usize {
        self.done.iter().filter(|step| step.action == action).count()
    }

    /// `Summary:` and the three numbers.
    pub fn summary(&self) -> String {
        format!(
            "Summary:\n  Created: {}\n  Updated: {}\n  Deleted: {}",
            self.count(Action::Create),
            self.count(Action::Update),
            self.count(Action::Delete)
        )
    }

    /// All of it as one object.
    pub fn json(&self) -> String {
        let of = |steps: &[&Step], action| -> Vec<Json> {
            steps.iter().filter(|step| step.action == action).map(|step| entry(step)).collect()
        };
        let mut changes = Map::new();
        for (action, name, dropped) in [
            (Action::Create, "creating", "dropped_creations"),
            (Action::Update, "updating", "dropped_updates"),
            (Action::Delete, "deleting", "dropped_deletions"),
        ] {
            changes.insert(name.to_owned(), of(&self.done, action).into());
            let dropped_steps = of(&self.dropped, action);
            if !dropped_steps.is_empty() {
                changes.insert(dropped.to_owned(), dropped_steps.into());
            }
        }
        indented(&json!({
            "changes": changes,
            "summary": {
                "creating": self.count(Action::Create),
                "updating": self.count(Action::Update),
                "deleting": self.count(Action::Delete),
                "total": self.done.len(),
            },
            "warnings": self.warnings,
            "errors": self.errors,
        }))
    }
}

fn entry(step: &Step) -> Json {
    let (old, new) = &step.shown;
    json!({ "name": step.name, "kind": step.kind.deck_name(), "body": { "new": new, "old": old } })
}

/// `while processing event: Create service svc1 failed: HTTP status 409 (message: "...")`
fn failure(step: &Step, error: &super::gateway::GatewayError) -> String {
    let verb = match step.action {
        Action::Create => "Create",
        Action::Update => "Update",
        Action::Delete => "Delete",
    };
    format!("while processing event: {verb} {} {} failed: {error}", step.kind.deck_name(), step.name)
}

/// `creating service svc1`
pub fn headline(step: &Step) -> String {
    let verb = match step.action {
        Action::Create => "creating",
        Action::Update => "updating",
        Action::Delete => "deleting",
    };
    format!("{verb} {} {}", step.kind.deck_name(), step.name)
}

/// `Dropped creation service svc1`
pub fn dropped(step: &Step) -> String {
    let noun = match step.action {
        Action::Create => "creation",
        Action::Update => "update",
        Action::Delete => "deletion",
    };
    format!("Dropped {noun} {} {}", step.kind.deck_name(), step.name)
}

/// How an update changes an entity: its JSON, with `+` and `-` in front of lines.
pub fn difference(step: &Step) -> Vec<String> {
    let mut lines = Lines(Vec::new());
    match &step.shown {
        (Json::Object(old), Json::Object(new)) => lines.fields(old, new, 1),
        (old, new) => lines.changed("", old, new, 1, ""),
    }
    lines.0
}

struct Lines(Vec<String>);

impl Lines {
    fn fields(&mut self, old: &Body, new: &Body, depth: usize) {
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        let last = names.len();
        for (index, name) in names.into_iter().enumerate() {
            let comma = if index + 1 < last { "," } else { "" };
            let key = format!("{}: ", Json::from(name.as_str()));
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => self.value(&key, old, new, depth, comma),
                (Some(old), None) => self.whole('-', &key, old, depth, comma),
                (None, Some(new)) => self.whole('+', &key, new, depth, comma),
                (None, None) => {}
            }
        }
    }

    fn value(&mut self, key: &str, old: &Json, new: &Json, depth: usize, comma: &str) {
        match (old, new) {
            (old, new) if old == new => self.whole(' ', key, old, depth, comma),
            (Json::Object(old), Json::Object(new)) => {
                self.line(' ', depth, &format!("{key}{{"));
                self.fields(old, new, depth + 1);
                self.line(' ', depth, &format!("}}{comma}"));
            }
            (Json::Array(old), Json::Array(new)) => {
                self.line(' ', depth, &format!("{key}["));
                self.items(old, new, depth + 1);
                self.line(' ', depth, &format!("]{comma}"));
            }
            (old, new) => self.changed(key, old, new, depth, comma),
        }
    }

    fn items(&mut self, old: &[Json], new: &[Json], depth: usize) {
        let longest = old.len().max(new.len());
        for index in 0..longest {
            let comma = if index + 1 < longest { "," } else { "" };
            match (old.get(index), new.get(index)) {
                (Some(old), Some(new)) => self.value("", old, new, depth, comma),
                (Some(old), None) => self.whole('-', "", old, depth, comma),
                (None, Some(new)) => self.whole('+', "", new, depth, comma),
                (None, None) => {}
            }
        }
    }

    fn changed(&mut self, key: &str, old: &Json, new: &Json, depth: usize, comma: &str) {
        self.whole('-', key, old, depth, comma);
        self.whole('+', key, new, depth, comma);
    }

    fn whole(&mut self, sign: char, key: &str, value: &Json, depth: usize, comma: &str) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        let text = format!("{key}{text}{comma}");
        text.lines().for_each(|line| self.line(sign, depth, line));
    }

    fn line(&mut self, sign: char, depth: usize, text: &str) {
        self.0.push(format!("{sign}{}{text}", "  ".repeat(depth)));
    }
}

fn indented(value: &Json) -> String {
    let mut bytes = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    // Writing JSON into memory does not fail.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, form));
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use postern_model::Kind;

    use super::*;

    fn step(old: Json, new: Json) -> Step {
        Step {
            action: Action::Update,
            kind: Kind::known_as("services").unwrap(),
            id: "i".to_owned(),
            owner: None,
            name: "svc1".to_owned(),
            body: Body::new(),
            secrets: Vec::new(),
            shown: (old, new),
        }
    }

    #[test]
    fn differences_are_lines_with_signs() {
        let step = step(
            json!({ "a": 1, "b": { "x": [1, 2], "y": 0 }, "c": [1] }),
            json!({ "a": 1, "b": { "x": [1, 3, 4], "y": 0 }, "d": "n" }),
        );
        let expected = [
            "   \"a\": 1,",
            "   \"b\": {",
            "     \"x\": [",
            "       1,",
            "-      2,",
            "+      3,",
            "+      4",
            "     ],",
            "     \"y\": 0",
            "   },",
            "-  \"c\": [",
            "-    1",
            "-  ],",
            "+  \"d\": \"n\"",
        ];
        assert_eq!(difference(&step), expected);
        assert_eq!(headline(&step), "updating service svc1");
        assert_eq!(dropped(&step), "Dropped update service svc1");
    }

    #[test]
    fn the_json_is_indented_by_tabs() {
        let step = step(json!({ "a": 1 }), json!({ "a": 2 }));
        let report = Report { done: vec![&step], errors: vec!["e".to_owned()], ..Report::default() };
        let json: Json = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(
            json,
            json!({
                "changes": { "creating": [], "deleting": [], "updating": [
                    { "name": "svc1", "kind": "service", "body": { "new": { "a": 2 }, "old": { "a": 1 } } },
                ] },
                "summary": { "creating": 0, "updating": 1, "deleting": 0, "total": 1 },
                "warnings": [], "errors": ["e"],
            })
        );
        assert!(report.json().starts_with("{\n\t\"changes\""));
    }
}
