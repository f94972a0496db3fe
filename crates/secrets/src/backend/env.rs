//! Environment variables.
use crate::field::{Exposure,Field, Rule};
use super::{BASE64_DECODE, TEXT};
/// fields
pub const FIELDS: &[Field] = &[Field { name: "prefix", rule: Rule::Matches("^[A-Za-z_-][A-Za-z0-9_-]*$", is_prefix), exposure: Exposure::Open, doc: "Put before every name.", ..TEXT }, BASE64_DECODE];
fn is_prefix(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
