//! Keys and secrets of credentials that the gateway generates where the client gives none.
//!
//! Owns: their form; which fields these are is in the table of kinds. Must not know: how rows are written.

use postern_model::Kind;
use serde_json::{Map, Value};

use super::error::Refusal;

/// Fills in those that are missing.
pub(crate) fn fill_in(kind: Kind, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    for field in kind.generated() {
        if body.get(*field).is_none_or(Value::is_null) {
            body.insert((*field).to_owned(), random()?.into());
        }
    }
    Ok(())
}

/// 32 letters and digits, as Kong's: some 190 bits.
fn random() -> Result<String, Refusal> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(32);
    while text.len() < 32 {
        let mut bytes = [0; 64];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refusal::Unexpected)?;
        // Bytes from 248 on would make the first letters more likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        text.extend(fair.map(|byte| char::from(LETTERS[usize::from(*byte) % 62])).take(32 - text.len()));
    }
    Ok(text)
}
