//! `response-transformer`: changes headers and the JSON body of a response on its way to the client.
//!
//! Owns: the configuration, and the order of the changes: remove, rename, replace, add, append. Must not know: how a
//! header (`headers`) or a body (`body`) is changed.

mod body;
mod headers;

use std::sync::Arc;

use postern_model::field::{Check, Default, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT};
use postern_model::{Record, Text, Value};
use serde::Deserialize;

use self::body::Collected;
use self::headers::Headers;
use super::rules::{is_header, is_header_value, name_and_value, on_text};
use crate::plugin::{BodyFilter, Plugin};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{Request, Response};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "response-transformer",
    priority: 800,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: FIELDS, checks: &[Check::Custom(numbers_are_numbers)] },
    doc: "Changes a response before it goes to the client.",
};

const FIELDS: &[Field] = &[
    Field::record("remove", REMOVE).default(Default::Fields).doc("What is taken out, by name."),
    Field::record("rename", RENAME).default(Default::Fields).doc("`old:new` names."),
    Field::record("replace", VALUES).default(Default::Fields).doc("`name:value` for what is there already."),
    Field::record("add", VALUES).default(Default::Fields).doc("`name:value` for what is not there yet."),
    Field::record("append", VALUES).default(Default::Fields).doc("`name:value`, besides what is there."),
];

const REMOVE: &[Field] = &[list("json", &TEXT, JSON), list("headers", &HEADER, HEADERS)];
const RENAME: &[Field] = &[list("json", &PAIR, JSON), list("headers", &RENAMED_HEADER, HEADERS)];
const VALUES: &[Field] = &[
    list("json", &PAIR, JSON),
    list(
        "json_types",
        &JSON_TYPE,
        "What the values of `json` are, in their order; a text, where this says nothing.",
    ),
    list("headers", &HEADER_PAIR, HEADERS),
];

const JSON: &str = "Of the JSON object that the body is.";
const HEADERS: &str = "Of the headers.";

const PAIR: Field = Field::string("").rules(&[Rule::Custom(pair)]);
const HEADER: Field = Field::string("").rules(&[Rule::Custom(header)]);
const HEADER_PAIR: Field = Field::string("").rules(&[Rule::Custom(header_pair)]);
const RENAMED_HEADER: Field = Field::string("").rules(&[Rule::Custom(renamed_header)]);
const JSON_TYPE: Field = Field::string("").rules(&[Rule::OneOf(&["boolean", "number", "string"])]);

const fn list(name: &'static str, element: &'static Field, doc: &'static str) -> Field {
    Field::array(name, element).required().default_empty().doc(doc)
}

fn pair(value: &Value) -> Result<(), String> {
    on_text(value, |text| match name_and_value(text) {
        _ if text.starts_with(':') || !text.contains(':') => Err(format!("invalid value: {text}")),
        (name, None) => Err(format!("key '{name}' has no value")),
        _ => Ok(()),
    })
}

fn header(value: &Value) -> Result<(), String> {
    on_text(value, |text| is_header(name_and_value(text).0))
}

fn header_pair(value: &Value) -> Result<(), String> {
    pair(value)?;
    on_text(value, |text| {
        let (name, content) = name_and_value(text);
        is_header(name)?;
        is_header_value(content.unwrap_or_default())?;
        match headers::is_framing(name) {
            true => Err(format!("'{name}' says how a response is framed, and cannot be set")),
            false => Ok(()),
        }
    })
}

fn renamed_header(value: &Value) -> Result<(), String> {
    pair(value)?;
    on_text(value, |text| match name_and_value(text) {
        (old, Some(new)) if headers::is_framing(new) => is_header(old)
            .and_then(|()| Err(format!("'{new}' says how a response is framed, and cannot be set"))),
        (old, new) => is_header(old).and_then(|()| is_header(new.unwrap_or_default())),
    })
}

/// Kong leaves such a change out in silence.
fn numbers_are_numbers(config: &Record) -> Result<(), (&'static str, String)> {
    for name in ["replace", "add", "append"] {
        let texts = |list: &str| {
            let list = config.record(name).and_then(|values| values.get(list)).and_then(Value::as_list);
            list.unwrap_or_default().iter().map(|item| item.as_text().unwrap_or_default())
        };
        for (pair, ty) in texts("json").zip(texts("json_types")) {
            let (key, value) = name_and_value(pair);
            if ty == "number" && body::number(value.unwrap_or_default()).is_none() {
                return Err((name, format!("the value of '{key}' is not a number")));
            }
        }
    }
    Ok(())
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { response: true, body_filter: true, rewrite: false, access: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    remove: Option<Lists>,
    rename: Option<Lists>,
    replace: Option<Lists>,
    add: Option<Lists>,
    append: Option<Lists>,
}

#[derive(Default, Deserialize)]
struct Lists {
    json: Vec<Text>,
    #[serde(default)]
    json_types: Vec<JsonType>,
    headers: Vec<Text>,
}

/// What a value in a body is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum JsonType {
    Boolean,
    Number,
    String,
}

struct ResponseTransformer {
    headers: Headers,
    body: Arc<[body::Change]>,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let Config { remove, rename, replace, add, append } = config.read()?;
    let [remove, rename, replace, add, append] =
        [remove, rename, replace, add, append].map(Option::unwrap_or_default);
    let mut body: Vec<body::Change> =
        remove.json.iter().map(|text| body::Change::Remove(name_and_value(text).0.to_owned())).collect();
    body.extend(rename.json.iter().map(|text| {
        let (old, new) = name_and_value(text);
        body::Change::Rename(old.to_owned(), new.unwrap_or_default().to_owned())
    }));
    for (kind, lists) in [
        (body::Change::Replace as fn(_, _) -> _, &replace),
        (body::Change::Add, &add),
        (body::Change::Append, &append),
    ] {
        let mut types = lists.json_types.iter();
        for text in &lists.json {
            let (name, value) = name_and_value(text);
            let value = body::value(value.unwrap_or_default(), types.next().copied());
            body.push(kind(name.to_owned(), value.ok_or("json_types: a value is not a number")?));
        }
    }
    let headers =
        Headers::new([&remove, &rename, &replace, &add, &append].map(|lists| lists.headers.as_slice()));
    Ok(Prepared::ready(ResponseTransformer {
        headers: headers.map_err(|why| format!("headers: {why}"))?,
        body: body.into(),
    }))
}

impl Plugin for ResponseTransformer {
    fn response(&self, _: &Request, response: &mut Response) {
        self.headers.change(&mut response.headers);
    }

    fn body_filter(&self, request: &Request, response: &Response) -> Option<Box<dyn BodyFilter>> {
        if self.body.is_empty() || !body::is_json(&response.headers) {
            return None;
        }
        Some(Box::new(Collected::new(Arc::clone(&self.body), request.id)))
    }
}

#[cfg(test)]
mod tests;
