//! Bytes → text.
//!
//! Owns: the size limit, UTF-8, and which characters a document may hold. Must not know: YAML. Data goes on to
//! `deck_env`.

use super::origin::Rendered;
use crate::violation::{Position, Report, Violation};

/// The largest document that is read, also after its templates are filled in: 64 MiB.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Says no to a document of this many bytes, so that a caller who knows the size need not read it first.
pub fn refuse_size(bytes: u64) -> Option<Violation> {
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    (bytes > MAX_BYTES).then(|| {
        Violation::error(
            "",
            None,
            format!("the file is too large: {} MiB, at most {} MiB", mib(bytes), mib(MAX_BYTES)),
        )
        .with_hint("is this a kong.yaml? Split the configuration, or keep the entities in the database")
    })
}

/// The bytes as text, without a byte order mark.
pub(super) fn decode<'a>(bytes: &'a [u8], report: &mut Report) -> Option<&'a str> {
    if let Some(violation) = refuse_size(bytes.len() as u64) {
        report.push(violation);
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            report.push(not_utf8(bytes, error.valid_up_to()));
            None
        }
    }
}

fn not_utf8(bytes: &[u8], offset: usize) -> Violation {
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let position = Position {
        line: count(before.matches('\n').count() + 1),
        column: count(before[line_start..].chars().count() + 1),
    };
    let hint = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file looks like UTF-16: save it as UTF-8",
        [0x1f, 0x8b, ..] => "the file looks like gzip: unpack it first",
        _ => "save the file as UTF-8; binary values belong into a vault, in base64",
    };
    Violation::error("", Some(position), format!("not UTF-8 at byte {offset}")).with_hint(hint)
}

/// Refuses what YAML refuses: control characters. (A NUL would otherwise end the document without a word.)
pub(super) fn only_printable(rendered: &Rendered<'_>, report: &mut Report) -> bool {
    let forbidden = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}');
    let Some((offset, found)) = rendered.text().char_indices().find(|(_, c)| forbidden(*c)) else {
        return true;
    };
    let index = rendered.text()[..offset].chars().count();
    let message = match rendered.conceals(index..index + 1) {
        true => "a control character in the value of the environment variable".to_owned(),
        false => format!("the control character U+{:04X} is not allowed in YAML", u32::from(found)),
    };
    report.push(
        Violation::error("", Some(rendered.position_of(index)), message)
            .with_hint("inside double quotes it can be written as an escape, such as \"\\x00\""),
    );
    false
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
