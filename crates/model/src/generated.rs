//! What fields are tried with, for tests of whatever reads them.
//!
//! Owns: for each type and rule the values within, at and beyond it, and where in an entity they go. Must not know: what
//! comes of them. Nothing of it is there in a gateway.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use crate::field::{Default, Field, Rule, TEXT, Type};

/// One value in one place of an entity, or of the configuration of a plugin.
#[derive(Debug)]
pub struct Change {
    path: Vec<Step>,
    value: Json,
    /// Whether it is a choice among few, which decides what else counts: tried more often.
    decides: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    First,
}

impl Change {
    /// The same with the value in its place.
    #[must_use]
    pub fn applied_to(&self, mut config: Json) -> Json {
        let mut place = &mut config;
        for step in &self.path {
            place = match step {
                Step::Key(name) => {
                    if !place.is_object() {
                        *place = Json::Object(Map::new());
                    }
                    let Json::Object(fields) = place else { unreachable!() };
                    fields.entry(name.clone()).or_insert(Json::Null)
                }
                Step::First => {
                    if place.as_array().is_none_or(Vec::is_empty) {
                        *place = json!([null]);
                    }
                    &mut place[0]
                }
            };
        }
        *place = self.value.clone();
        config
    }

    /// One of many; choices come up as often as all else. `below` gives a random number below another one.
    pub fn any(changes: &[Self], mut below: impl FnMut(usize) -> usize) -> &Self {
        loop {
            let change = &changes[below(changes.len())];
            if change.decides || below(8) == 0 {
                return change;
            }
        }
    }

    /// For people, and not too long.
    pub fn shown(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            let _ = match step {
                Step::Key(name) if name.len() > 60 => write!(path, ".({} bytes)", name.len()),
                Step::Key(name) => write!(path, ".{}", name.escape_debug()),
                Step::First => write!(path, "[0]"),
            };
        }
        let value = self.value.to_string();
        let value = match value.chars().count() > 120 {
            true => format!("{}... ({} bytes)", value.chars().take(80).collect::<String>(), value.len()),
            false => value,
        };
        format!("{} = {value}", path.trim_start_matches('.'))
    }
}

/// Everything that is to be tried with these fields.
pub fn changes(fields: &'static [Field]) -> Vec<Change> {
    let mut changes = Vec::new();
    each(fields, &[], &mut changes);
    changes
}

fn each(fields: &'static [Field], path: &[Step], changes: &mut Vec<Change>) {
    for field in fields {
        let path = with(path, Step::Key(field.name.to_owned()));
        values(field, &path, changes);
    }
}

fn with(path: &[Step], step: Step) -> Vec<Step> {
    path.iter().cloned().chain([step]).collect()
}

fn values(field: &'static Field, path: &[Step], changes: &mut Vec<Change>) {
    let mut put = |value: Json, decides: bool| changes.push(Change { path: path.to_vec(), value, decides });
    // Of another type.
    for value in [json!(null), json!({}), json!([]), json!({"a": {"b": 1}}), json!([[1]])] {
        put(value, false);
    }
    for rule in field.rules {
        match rule {
            Rule::OneOf(words) => words.iter().for_each(|word| put(json!(word), true)),
            Rule::OneOfIntegers(numbers) => numbers.iter().for_each(|number| put(json!(number), true)),
            Rule::Between(low, high) => {
                for limit in [*low, *high] {
                    for value in [limit - 1.0, limit - 0.001, limit, limit + 0.001, limit + 1.0] {
                        put(number(value), false);
                    }
                }
            }
            Rule::Above(low) => {
                for value in [*low, low + 1e-300, low + 0.5, low + 1.0] {
                    put(number(value), false);
                }
            }
            Rule::LengthMin(length) | Rule::LengthMax(length) => {
                for length in [length.saturating_sub(1), *length, length + 1] {
                    put(json!("a".repeat(length)), false);
                    put(json!(vec!["a"; length]), false);
                }
            }
            Rule::StartsWith(_) | Rule::Uuid | Rule::Custom(_) => {}
        }
    }
    match field.ty {
        Type::String => texts().into_iter().for_each(|text| put(json!(text), false)),
        Type::Integer | Type::Number => numbers().into_iter().for_each(|number| put(number, false)),
        Type::Boolean => {
            for value in [json!(true), json!(false)] {
                put(value, true);
            }
            put(json!("yes"), false);
        }
        Type::Array(element) | Type::Set(element) => {
            let good = good(element);
            put(json!(vec![good.clone(); 300]), false);
            put(json!([good.clone(), good]), false);
            match element.ty {
                Type::Record(fields) => each(fields, &with(path, Step::First), changes),
                _ => values(element, &with(path, Step::First), changes),
            }
        }
        Type::Map(keys, element) => {
            let good = good(element);
            put(
                (0..300).map(|index| (format!("key{index}"), good.clone())).collect::<Map<_, _>>().into(),
                false,
            );
            for key in keyed(keys) {
                let key = with(path, Step::Key(key));
                changes.push(Change { path: key, value: good.clone(), decides: false });
            }
            let key = with(path, Step::Key("key".to_owned()));
            match element.ty {
                Type::Record(fields) => each(fields, &key, changes),
                _ => values(element, &key, changes),
            }
        }
        Type::Record(fields) => each(fields, path, changes),
        Type::Foreign(_) | Type::Any => {}
    }
}

/// Keys that a map is tried with.
fn keyed(keys: &Field) -> Vec<String> {
    debug_assert!(matches!(keys.ty, Type::String), "keys are texts");
    texts()
}

/// A value that is probably right.
fn good(field: &Field) -> Json {
    match (field.ty, field.default, field.rules.first()) {
        (_, _, Some(Rule::OneOf(words))) => json!(words[0]),
        (_, _, Some(Rule::OneOfIntegers(numbers))) => json!(numbers[0]),
        (_, _, Some(Rule::Between(low, _))) => number(*low),
        (_, Default::Text(text), _) => json!(text),
        (Type::String, ..) => json!("a:b"),
        (Type::Integer | Type::Number, ..) => json!(200),
        (Type::Boolean, ..) => json!(true),
        (Type::Record(fields), ..) => {
            let members = fields.iter().map(|field| (field.name.to_owned(), good(field)));
            Json::Object(members.collect())
        }
        (Type::Map(..), ..) => json!({"a": good(&TEXT)}),
        _ => json!([]),
    }
}

/// A whole one without a fraction, so that it may be an integer.
#[expect(clippy::cast_possible_truncation, reason = "it is looked at first")]
fn number(value: f64) -> Json {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn numbers() -> Vec<Json> {
    let whole =
        [0, 1, -1, 2, 99, 100, 199, 200, 418, 999, 1000, 65_535, 65_536, 1 << 31, -(1 << 31), 1 << 32];
    let whole = whole.into_iter().chain([(1 << 53) - 1, 1 << 53, -(1 << 53), i64::MAX, i64::MIN]);
    let floats = [0.5, -0.5, 1e-300, 1e300, -1e300, 1.5, 429.5, 1e19];
    whole.map(|number| json!(number)).chain(floats.map(|number| json!(number))).chain([json!("1")]).collect()
}

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    texts.extend([64, 300, 70_000].map(|length| "a".repeat(length)));
    texts.push(format!("{}(a|b)", "(".repeat(400)));
    texts.push("(?:a{999}){999}".to_owned());
    texts.push(format!("x:{}", "b".repeat(70_000)));
    texts
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A-b_c",
    "-1",
    "0",
    "65536",
    "\u{0}",
    "a\u{0}b",
    "\r\n",
    "a\r\nb",
    "a\r\nb: c",
    "x:a\r\nb",
    "x:\r\ny",
    "x:\u{0}",
    "x:\u{7f}",
    "\u{7f}",
    "\t",
    "a\"b",
    "a\\",
    "é",
    "x:é",
    "é:x",
    "🦀",
    "\u{202e}",
    "a b",
    "a b:c",
    "a;b",
    "a,b",
    "a=b",
    ":",
    ":b",
    "a:",
    "a::b",
    "a:b:c",
    "%",
    "%zz",
    "%00",
    "%2e%2e",
    "(",
    ")",
    "[",
    "*",
    "**",
    "a{",
    "(?i)a",
    "(?<n>a)(?<n>b)",
    "\\d{1,999999}",
    "\\",
    "\\1",
    "(?=a)",
    "\\p{Greek}",
    "$(",
    "$(headers.x)",
    "x:$(headers.x)",
    "x:$(",
    "$(os.time())",
    "x:$(headers.a .. 'b')",
    "$(headers['a\r\nb'])",
    "{",
    "}",
    "{{status}}",
    "{vault",
    "${{ env \"DECK_A\" }}",
    "11111111-2222-4333-8444-555555555555",
    "11111111222243338444555555555555",
    "http",
    "http:",
    "http://",
    "http:///x",
    "http://a",
    "http://a.example/x y",
    "http://u:p@a.example:8080/x?y=z#w",
    "http://a.example:99999",
    "http://a.example:0",
    "http://[::1",
    "http://[::1]:80/",
    "http://é.example/",
    "http://a b/",
    "http://a_b.example/",
    "http://a..b/",
    "HTTP://A.EXAMPLE",
    "ftp://a.example",
    "file:///etc/passwd",
    "//a.example/x",
    "mailto:a@a.example",
    "http://a\r\nb/",
    "https://a.example/\u{0}",
    "/",
    "//",
    "/..",
    "/a/../b",
    "/a b",
    "/é",
    "/?a",
    "/#",
    "a.example",
    "a.example.",
    ".a.example",
    "*.a.example",
    "a..example",
    "-a.example",
    "a_b.example",
    "a.example:80",
    "localhost",
    "127.0.0.1",
    "127.0.0.1:80",
    "999.0.0.1",
    "::1",
    "[::1]",
    "::",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "10.0.0.0/33",
    "::/129",
    "::1/64",
    "0.0.0.0/0",
    "GET",
    "get",
    "G ET",
    "host",
    "Host:a",
    "content-length",
    "content-length:5",
    "transfer-encoding:chunked",
    "x:content-length",
    "connection:close",
    "date",
    "@request-target",
    "text/html",
    "text/html; charset=\"",
    "*/*",
    "200-299",
    "299-200",
    "0-99999",
    "200",
    "return 1",
    "return nil",
    "return 'a'",
    "return",
    "return kong",
    "return 1e999",
    "return 99999999999999999999999999",
    "a.b.c",
    "..",
    "a\\.b",
    "/dev/null",
    "/tmp/a/",
    "true",
    "null",
    "1e999",
    "exp",
    "iss",
];
