//! JSON → YAML, as people write it.
//!
//! Owns: which texts need quotes, and that what is written reads as what it was: by YAML 1.1 (decK) and 1.2 (ours), and past
//! decK's templates, which are filled in before YAML is read. Must not know: what is written.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

/// Opens a template of decK, wherever it stands.
const TEMPLATE: &str = "${{";

/// The whole of a document. Keys are sorted.
pub(super) fn to_yaml(value: &Json) -> String {
    let mut out = String::new();
    match value {
        Json::Object(fields) if !fields.is_empty() => mapping(&mut out, fields, 0, false),
        Json::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        other => {
            scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn mapping(out: &mut String, fields: &Map<String, Json>, depth: usize, in_line: bool) {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort();
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 || !in_line {
            indent(out, depth);
        }
        if is_plain(name) {
            out.push_str(name);
        } else {
            quoted(out, name);
        }
        out.push(':');
        match &fields[name] {
            Json::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, depth + 1, false);
            }
            Json::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, depth);
            }
            other => {
                out.push(' ');
                scalar(out, other, depth);
                out.push('\n');
            }
        }
    }
}

/// Items stand below their key, not further in: so does decK write them.
fn sequence(out: &mut String, items: &[Json], depth: usize) {
    for item in items {
        indent(out, depth);
        out.push('-');
        match item {
            Json::Object(inner) if !inner.is_empty() => {
                out.push(' ');
                mapping(out, inner, depth + 1, true);
            }
            Json::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                sequence(out, inner, depth + 1);
            }
            other => {
                out.push(' ');
                scalar(out, other, depth);
                out.push('\n');
            }
        }
    }
}

/// One that needs a block stands further in than `depth`.
fn scalar(out: &mut String, value: &Json, depth: usize) {
    match value {
        Json::String(text) if is_block(text) => block(out, text, depth + 1),
        Json::String(text) if is_plain(text) => out.push_str(text),
        Json::String(text) => quoted(out, text),
        Json::Array(_) => out.push_str("[]"),
        Json::Object(_) => out.push_str("{}"),
        // Null, truths and numbers are the same in both.
        other => out.push_str(&other.to_string()),
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Text of several lines that can stand as it is: PEM.
fn is_block(text: &str) -> bool {
    let is_usual = |c: char| c == '\n' || c == ' ' || (c.is_ascii_graphic());
    let tame = |line: &str| !line.starts_with(' ') && !line.ends_with(' ') && !line.is_empty();
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && text.chars().all(is_usual)
        && body.split('\n').all(tame)
        && !text.contains(TEMPLATE)
}

fn block(out: &mut String, text: &str, depth: usize) {
    out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        indent(out, depth);
        out.push_str(line);
    }
}

/// Text that nobody takes for anything else.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b" _-./:@%+()=;<>^~$".contains(byte);
    let begins = first.is_ascii_alphabetic() || matches!(first, b'/' | b'_') || is_regular_expression(text);
    begins
        && bytes.iter().all(usual)
        && *last != b' '
        && *last != b':'
        && !text.contains(": ")
        && !text.contains("---")
        && !is_word(text)
}

/// `~/x$`, a path by which routes are found, is plain; `~` alone is null.
fn is_regular_expression(text: &str) -> bool {
    text.starts_with("~/")
}

/// What YAML 1.1 or 1.2 takes for a truth, null or a number.
fn is_word(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    // `e1` is none, `.5` does not begin like a text, and `0x1` neither; `inf` and `nan` are for the careful.
    matches!(
        lower.as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "inf" | "nan"
    )
}

/// In double quotes. JSON's escapes are YAML's, and `$` is spelt so that no template begins.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' if rest.peek() == Some(&'{') => out.push_str("\\x24"),
            c if c.is_control() || is_odd(c) => escaped(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Breaks of lines by YAML 1.1, marks of byte order, what is no character, and what turns text around.
fn is_odd(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

fn escaped(out: &mut String, c: char) {
    let code = u32::from(c);
    // Writing into memory does not fail.
    let _ = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_back(yaml: &str) -> Json {
        let env = |_: &str| -> Option<String> { panic!("a template survived: {yaml}") };
        postern_model::read(yaml.as_bytes(), &env)
            .map_err(|problems| format!("{problems:?}\n{yaml}"))
            .unwrap()
            .root
            .to_json()
    }

    #[test]
    fn as_people_write_it() {
        let value = json!({
            "_format_version": "3.0",
            "services": [{ "name": "s", "port": 80, "routes": [{ "paths": ["/a", "~/b$"], "name": "r" }], "tags": [] }],
            "certificates": [{ "cert": "-----BEGIN X-----\nabc=\n-----END X-----\n", "key": "a\nb" }],
            "odd": ["", " a", "yes", "1e3", "null", "a: b", "${{ env \"DECK_X\" }}", "\u{85}é", {}, [], [[1]]],
        });
        let expected = r##"_format_version: "3.0"
certificates:
- cert: |
    -----BEGIN X-----
    abc=
    -----END X-----
  key: |-
    a
    b
odd:
- ""
- " a"
- "yes"
- "1e3"
- "null"
- "a: b"
- "\x24{{ env \"DECK_X\" }}"
- "\x85é"
- {}
- []
-
  -
    - 1
services:
- name: s
  port: 80
  routes:
  - name: r
    paths:
    - /a
    - ~/b$
  tags: []
"##;
        assert_eq!(to_yaml(&value), expected);
        assert_eq!(read_back(expected), value);
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => any::<String>(),
            2 => "[ -~\n]{0,12}",
            2 => "(yes|no|on|0x1|0o7|1e3|-1|\\.5|1_0|~|~/|null|true|<<|\\$\\{\\{|\\}\\}|#|- |: |---|\\.\\.\\.|\t|\r|\n| ){0,4}",
            1 => "-----BEGIN [A-Z]{3}-----\n([a-zA-Z0-9+/=]{1,8}\n){1,3}",
        ]
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            (-1e9..1e9_f64).prop_map(Json::from),
            any_text().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                prop::collection::btree_map(any_text(), inner, 0..5)
                    .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn what_is_written_reads_as_what_it_was(value in any_json()) {
            let document = json!({ "_format_version": "3.0", "services": [{ "x": value }] });
            prop_assert_eq!(read_back(&to_yaml(&document)), document);
        }
    }
}
