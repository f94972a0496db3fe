//! What a vault of kind `env` can be configured with. Must not know: how variables are read.

use super::{BASE64_DECODE, Field, Rule, TEXT};

/// The fields of kind `env`.
pub const FIELDS: &[Field] = &[
    Field {
        name: "prefix",
        rule: Rule::Matches("^[A-Za-z_-][A-Za-z0-9_-]*$", is_prefix),
        doc: "Put before every name, as it is; a dash counts as an underscore.",
        ..TEXT
    },
    BASE64_DECODE,
];

fn is_prefix(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-');
    text.starts_with(is_start) && text.chars().all(|c| is_start(c) || c.is_ascii_digit())
}
