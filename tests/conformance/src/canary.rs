//! Canary secrets: unique values that must turn up nowhere, in no encoding.
//!
//! A test makes one [`Canary`], hands its values to the servers and the configuration, and after every run
//! asserts that they are absent from what the program printed and wrote.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use crate::Outcome;

/// A set of secret values, each with a label that failures name instead of the value.
#[derive(Debug, Default)]
pub struct Canary {
    values: BTreeMap<String, String>,
}

impl Canary {
    /// A set without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value for this label: new at the first call, the same afterwards. It has characters that every
    /// encoding has to escape.
    pub fn secret(&mut self, label: &str) -> String {
        self.values
            .entry(label.to_owned())
            .or_insert_with(|| format!("canary {}/+&\"{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
            .clone()
    }

    /// Watches for a value that was made elsewhere (a client secret of a server, a token).
    ///
    /// # Panics
    /// When it is so short that it would be found by chance.
    pub fn watch(&mut self, label: &str, value: &str) {
        assert!(value.len() >= 12, "{label}: too short to search for");
        self.values.insert(label.to_owned(), value.to_owned());
    }

    /// Asserts that no value occurs in standard output, standard error, or a file that the program wrote.
    ///
    /// # Panics
    /// With each label, place and encoding in which one was found.
    #[track_caller]
    pub fn assert_absent(&self, outcome: &Outcome) {
        let mut found = self.find_except_stdout(outcome);
        found.extend(self.find("stdout", outcome.stdout.as_bytes()));
        assert!(found.is_empty(), "secrets leaked:\n  {}", found.join("\n  "));
    }

    /// Like [`Canary::assert_absent`], for commands whose standard output is the value.
    ///
    /// # Panics
    /// With each label, place and encoding in which one was found.
    #[track_caller]
    pub fn assert_absent_except_stdout(&self, outcome: &Outcome) {
        let found = self.find_except_stdout(outcome);
        assert!(found.is_empty(), "secrets leaked:\n  {}", found.join("\n  "));
    }

    /// Asserts that no value occurs in a text of any kind (a reply, a log of a long-running process).
    ///
    /// # Panics
    /// With each label and encoding in which one was found.
    #[track_caller]
    pub fn assert_absent_in(&self, place: &str, bytes: &[u8]) {
        let found = self.find(place, bytes);
        assert!(found.is_empty(), "secrets leaked:\n  {}", found.join("\n  "));
    }

    fn find_except_stdout(&self, outcome: &Outcome) -> Vec<String> {
        let mut found = self.find("stderr", outcome.stderr.as_bytes());
        for (path, content) in &outcome.files {
            found.extend(self.find(&path.display().to_string(), content));
        }
        found
    }

    fn find(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (label, value) in &self.values {
            for (encoding, needle) in forms(value) {
                if contains(bytes, &needle) {
                    found.push(format!("{label} in {place}, {encoding}"));
                }
            }
        }
        found
    }
}

/// The value in each encoding in which it might travel.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let json = serde_json::to_string(value).expect("a text is JSON");
    let percent = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("plain", value.to_owned()),
        ("JSON-escaped", json.trim_matches('"').to_owned()),
        ("debug-escaped", format!("{value:?}").trim_matches('"').to_owned()),
        ("form-encoded", percent.replace("%20", "+")),
        ("percent-encoded", percent),
        ("hex", hex),
    ];
    for shift in 0..3 {
        let base64 = base64_within(value, shift);
        forms.push(("base64url", base64.replace('+', "-").replace('/', "_")));
        forms.push(("base64", base64));
    }
    // Percent, form and JSON encoding differ from library to library in what they escape, and agree on this.
    forms.extend(
        value
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|run| run.len() >= 16)
            .map(|run| ("in part", run.to_owned())),
    );
    // A list of byte values, as a derived Debug of bytes prints them.
    let bytes: Vec<_> = value.bytes().map(|byte| byte.to_string()).collect();
    forms.push(("byte list", bytes.join(", ")));
    forms.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

/// The part of the base64 text that is the same whatever stands around the value, when it starts `shift`
/// bytes after a multiple of three. In a Basic header the secret is such a part.
fn base64_within(value: &str, shift: usize) -> String {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(value.as_bytes());
    // Only whole groups of three bytes: the last characters depend on what follows.
    bytes.truncate(bytes.len() / 3 * 3);
    let text = STANDARD_NO_PAD.encode(&bytes);
    // A first group with a foreign byte in it depends on what comes before.
    text[if shift == 0 { 0 } else { 4 }..].to_owned()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_encoding() {
        let mut canary = Canary::new();
        let value = canary.secret("value");
        let json = serde_json::json!({ "value": value }).to_string();
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("some-id:{value}"));
        let url_safe = base64::engine::general_purpose::URL_SAFE.encode(format!("x{value}y"));
        let percent = utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string();
        let list = format!("{:?}", value.as_bytes());
        for text in [&value, &json, &basic, &url_safe, &percent, &percent.replace("%20", "+"), &list] {
            assert!(!canary.find("text", text.as_bytes()).is_empty(), "missed in {text}");
        }
        assert!(canary.find("text", b"canary of another run").is_empty());
    }

    #[test]
    fn looks_at_outputs_and_files() {
        let mut canary = Canary::new();
        let value = canary.secret("value");
        let clean = Outcome::default();
        canary.assert_absent(&clean);
        let printed = Outcome { stdout: value.clone(), ..Outcome::default() };
        assert!(canary.find_except_stdout(&printed).is_empty());
        canary.assert_absent_except_stdout(&printed);
        assert!(std::panic::catch_unwind(|| canary.assert_absent(&printed)).is_err());
        let mut wrote = Outcome::default();
        wrote.files.insert("dump".into(), value.into_bytes());
        assert_eq!(
            canary.find_except_stdout(&wrote),
            ["value in dump, plain", "value in dump, in part", "value in dump, in part"]
        );
    }
}
