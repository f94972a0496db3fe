//! Files below a directory.
use crate::field::{Exposure,Field, Rule};
use super::{BASE64_DECODE, TEXT, TTL, NEG_TTL, RESURRECT_TTL};
/// fields
pub const FIELDS: &[Field] = &[Field { name: "prefix", required: true, rule: Rule::NotBlank, exposure: Exposure::Fixed, doc: "The directory.", ..TEXT }, TTL, NEG_TTL, RESURRECT_TTL, BASE64_DECODE];
