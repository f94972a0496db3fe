//! How what is kept is written as text, and what may be told of a failure.
//!
//! Owns: that every text can be kept by every database, and comes back; that nothing of a row or of a password is in an
//! error. Must not know: statements.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::super::rules::Links;
use super::super::{Kept, Key, Row, StoreError};
use super::{Line, Value};

/// What a database says is shown up to here.
const SHOWN: usize = 300;

/// A text as it is kept. PostgreSQL takes no NUL, so `\0` stands for one, and `\\` for a backslash.
pub(in super::super) fn stored(text: &str) -> Value<'_> {
    Value::Text(match text.contains(['\0', '\\']) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.replace('\\', "\\\\").replace('\0', "\\0")),
    })
}

/// What [`stored`] was given.
pub(super) fn read(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' if characters.next() == Some('0') => '\0',
            other => other,
        });
    }
    plain
}

/// What stands for a text in an index, whose entries must be short: its SHA-256.
pub(super) fn digest(text: &str) -> Value<'static> {
    Value::from(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A key in an index, for `(field, digest)`.
pub(super) fn key(key: &Key) -> [Value<'_>; 2] {
    [stored(&key.field), digest(&key.value)]
}

/// JSON, in which NUL is an escape.
pub(super) fn json(value: &impl serde::Serialize) -> Result<Value<'static>, StoreError> {
    let text = serde_json::to_string(value);
    // The cause would quote the value.
    Ok(Value::from(text.map_err(|_| StoreError::Corrupt("a row is no JSON".to_owned()))?))
}

/// Reads [`json`]; `what` names it.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt(what.to_owned()))
}

/// The columns of [`kept`].
pub(super) const ROW: &str = "SELECT kind, id, version, body, links FROM postern_rows";

/// A row of [`ROW`].
pub(super) fn kept(line: &dyn Line) -> Result<Kept, StoreError> {
    let (kind, id, version) = (line.name(0)?, line.id(1)?, line.number(2)?);
    let what = format!("{kind} {id}");
    let body = parsed(line.text(3)?, &what)?;
    let Links { keys, references, tags } = parsed(line.text(4)?, &what)?;
    Ok(Kept { row: Row { kind, id, body, keys, references, tags }, version })
}

/// What sqlx says, without what it could say of values, passwords and rows.
pub(in super::super) fn unavailable(error: &sqlx::Error) -> StoreError {
    StoreError::Unavailable(match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} ({code})", shown(error.message())),
            None => shown(error.message()),
        },
        sqlx::Error::Io(error) => shown(&error.to_string()),
        sqlx::Error::Tls(error) => format!("TLS: {}", shown(&error.to_string())),
        sqlx::Error::Protocol(_) => "it answered what was not expected".to_owned(),
        sqlx::Error::Configuration(_) => "its settings cannot be used".to_owned(),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            return StoreError::Corrupt("a column is not as it should be".to_owned());
        }
        _ => "the connection was lost".to_owned(),
    })
}

/// Text from outside on one line, and not too long.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Value, read, stored};

    #[test]
    fn every_text_can_be_kept_and_comes_back() {
        for text in ["", "plain", "\0", "\\", "\\0", "a\\\0b\\\\0\0", "é\u{10ffff}"] {
            let Value::Text(kept) = stored(text) else { panic!("a text is a text") };
            assert!(!kept.contains('\0'), "{text:?} is kept as {kept:?}");
            assert_eq!(read(&kept), text);
        }
    }
}
