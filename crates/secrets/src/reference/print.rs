//! The canonical text of a reference: parsing it gives the same reference back.
//!
//! Owns: what must be escaped, and how often. Must not know: anything but the grammar.

use std::fmt::{self, Display, Formatter, Write};

use super::{OPENING, OptionValue, Reference};

impl Display for Reference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(OPENING)?;
        name(f, &self.name)?;
        f.write_char('/')?;
        match &self.key {
            Some(key) => {
                resource(f, &self.resource)?;
                f.write_char('/')?;
                path_text(f, key)?;
            }
            None => {
                resource(f, &self.resource)?;
                // Without it the last segment would be taken for a key.
                if has_plain_slashes(&self.resource) {
                    f.write_char('/')?;
                }
            }
        }
        let mut separator = '?';
        for (option, value) in &self.options {
            match value {
                OptionValue::List(items) => {
                    for item in items {
                        pair(f, &mut separator, option, item)?;
                    }
                }
                single => pair(f, &mut separator, option, single)?,
            }
        }
        if let Some(version) = self.version {
            write!(f, "#{version}")?;
        }
        f.write_char('}')
    }
}

/// A name that holds `@`, `:` or brackets gets an empty user, an empty port or one more pair of brackets, which
/// the parser takes off again.
fn name(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    let bracketed = name.len() > 2 && name.starts_with('[') && name.ends_with(']');
    if name.contains('@') {
        f.write_char('@')?;
    }
    if bracketed {
        write!(f, "[{name}]")?
    } else {
        f.write_str(name)?
    }
    if name.contains(':') {
        f.write_char(':')?;
    }
    Ok(())
}

/// Slashes are written as they are where the parser keeps them.
fn resource(f: &mut Formatter<'_>, resource: &str) -> fmt::Result {
    if !has_plain_slashes(resource) {
        return path_text(f, resource);
    }
    for (index, segment) in resource.split('/').enumerate() {
        if index > 0 {
            f.write_char('/')?;
        }
        path_text(f, segment)?;
    }
    Ok(())
}

/// Whether the resource is several segments, none of them empty (empty ones would be dropped).
fn has_plain_slashes(resource: &str) -> bool {
    resource.contains('/') && resource.split('/').all(|segment| !segment.is_empty())
}

/// Text for a path, which is decoded twice: only `%` and `+` mean something to the second pass.
fn path_text(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'%' => f.write_str("%2525")?,
            b'+' => f.write_str("%252B")?,
            plain if is_plain(plain) => f.write_char(char::from(plain))?,
            other => write!(f, "%{other:02X}")?,
        }
    }
    Ok(())
}

/// One query option; options are decoded once.
fn pair(f: &mut Formatter<'_>, separator: &mut char, option: &str, value: &OptionValue) -> fmt::Result {
    f.write_char(std::mem::replace(separator, '&'))?;
    query_text(f, option)?;
    match value {
        OptionValue::Text(text) => {
            f.write_char('=')?;
            query_text(f, text)
        }
        OptionValue::True | OptionValue::List(_) => Ok(()),
    }
}

fn query_text(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        if is_plain(byte) { f.write_char(char::from(byte))? } else { write!(f, "%{byte:02X}")? }
    }
    Ok(())
}

/// RFC 3986's unreserved characters and `:`, which needs no escape in a path or a query.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':')
}
