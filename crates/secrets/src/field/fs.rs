//! What a vault of kind `fs` can be configured with. Must not know: how files are read.

use super::{BASE64_DECODE, Exposure, Field, NEG_TTL, RESURRECT_TTL, Rule, TEXT, TTL};

/// The fields of kind `fs`.
pub const FIELDS: &[Field] = &[
    Field {
        name: "prefix",
        required: true,
        rule: Rule::NotBlank,
        exposure: Exposure::Fixed,
        doc: "The directory; references name files below it.",
        ..TEXT
    },
    TTL,
    NEG_TTL,
    RESURRECT_TTL,
    BASE64_DECODE,
];
