//! `custom_fields_by_lua`: fields that an operator adds to the log object or takes out of it.
//!
//! Owns: the constant expressions of it that are understood, and where a field stands. Must not know: the log object's own
//! fields. There is no Lua here: `return nil`, a text, a number or a truth is done, and anything else is refused when the
//! configuration is read.

use std::collections::BTreeMap;

use postern_model::Value;
use postern_model::field::{Field, Rule, TEXT, Type};
use serde_json::{Map, Value as Json};

/// The field of a plugin.
pub(crate) const FIELD: Field = Field::new("custom_fields_by_lua", Type::Map(&NAME, &EXPRESSION)).doc(
    "Fields of the log object by their names (`.` leads into an object, `\\.` is a dot): `return nil` takes one out, \
     `return` with a text in quotes, a number or a truth sets it. There is no Lua beyond that.",
);

const NAME: Field = TEXT;
const EXPRESSION: Field = Field::string("").rules(&[Rule::Custom(is_understood)]);

fn is_understood(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) => parse(text).map(|_| ()),
        _ => Ok(()),
    }
}

/// What is changed in each log object.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(Vec<String>, Option<Json>)>);

impl Fields {
    /// From the configuration.
    ///
    /// # Errors
    /// An expression that is not understood.
    pub(crate) fn new(config: &BTreeMap<String, String>) -> Result<Self, String> {
        let field = |(name, text): (&String, &String)| Ok((path(name), parse(text)?));
        config.iter().map(field).collect::<Result<_, String>>().map(Self)
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes a log object.
    pub(crate) fn apply(&self, object: &mut Map<String, Json>) {
        for (path, value) in &self.0 {
            set(object, path, value.as_ref());
        }
    }
}

fn set(object: &mut Map<String, Json>, path: &[String], value: Option<&Json>) {
    match (path, value) {
        ([], _) => {}
        ([last], Some(value)) => drop(object.insert(last.clone(), value.clone())),
        ([last], None) => drop(object.remove(last)),
        ([first, rest @ ..], _) => {
            if !matches!(object.get(first), Some(Json::Object(_))) {
                if value.is_none() {
                    return;
                }
                object.insert(first.clone(), Json::Object(Map::new()));
            }
            if let Some(Json::Object(inner)) = object.get_mut(first) {
                set(inner, rest, value);
            }
        }
    }
}

/// `a.b\.c` is `b.c` in `a`.
fn path(name: &str) -> Vec<String> {
    let mut path = Vec::new();
    let mut part = String::new();
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&'.') => part.extend(characters.next()),
            '.' => path.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    path.push(part);
    path
}

/// A constant expression; `None` is nil.
fn parse(text: &str) -> Result<Option<Json>, String> {
    const REFUSED: &str = "only `return` with nil, a text in quotes, a number or a truth is understood";
    let expression = text.trim().strip_prefix("return").ok_or(REFUSED)?;
    let expression = expression.strip_suffix(';').unwrap_or(expression).trim();
    let quoted = |quote: char| {
        let inner = expression.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\', '\n'])).then(|| Json::from(inner))
    };
    match expression {
        "nil" => Ok(None),
        "true" => Ok(Some(Json::Bool(true))),
        "false" => Ok(Some(Json::Bool(false))),
        _ => {
            let text = quoted('"').or_else(|| quoted('\''));
            let number = || {
                let is_one =
                    expression.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
                is_one.then(|| serde_json::from_str::<Json>(expression).ok()).flatten()
            };
            text.or_else(number).map(Some).ok_or_else(|| REFUSED.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(config: &[(&str, &str)], object: Json) -> Json {
        let config = config.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let Json::Object(mut object) = object else { panic!("an object") };
        Fields::new(&config).unwrap().apply(&mut object);
        Json::Object(object)
    }

    #[test]
    fn fields_come_and_go() {
        let config = [
            ("a", "return nil"),
            ("b.c", "return 'x'"),
            ("b.d", " return \"y\" ;"),
            (r"e\.f", "return -1.5"),
            ("g.h.i", "return true"),
            ("j.k", "return nil"),
        ];
        let object = json!({"a": 1, "b": {"c": 2, "z": 3}, "e": {"f": 4}});
        let expected = json!({
            "b": {"c": "x", "d": "y", "z": 3}, "e": {"f": 4}, "e.f": -1.5, "g": {"h": {"i": true}},
        });
        assert_eq!(applied(&config, object), expected);
    }

    #[test]
    fn nothing_else_is_understood() {
        for text in [
            "",
            "return",
            "nil",
            "return kong.request.get_header('a')",
            "return 'a' .. 'b'",
            r"return 'a\n'",
            "return {}",
            "return os.execute('id')",
            "return 1e9",
            "return 'a",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
