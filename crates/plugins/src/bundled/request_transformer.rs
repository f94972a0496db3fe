//! `request-transformer`: changes method, path, headers, query and body of a request before it goes on.
//!
//! Owns: the configuration, and the order of the changes: path, method, headers, body, query; in each of them remove,
//! rename, replace, add, append. Must not know: templates (`template`), how a query or a body is changed (`named`).

mod headers;
mod named;
mod template;

use http::Method;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT};
use postern_model::{Record, Text, Value};
use serde::Deserialize;

use self::named::Change;
pub(crate) use self::template::literal;
use self::template::{Facts, Template};
use super::rules::{is_header, name_and_value, on_text};
use crate::plugin::{Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use crate::view::args;
use crate::view::body::Form;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "request-transformer",
    priority: 801,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Changes a request before it goes to the upstream.",
};

const FIELDS: &[Field] = &[
    Field::string("http_method").rules(&[Rule::Custom(method)]).doc("The method that the upstream gets."),
    Field::record("remove", &names(&HEADER)).required().doc("What is taken out, by name."),
    Field::record("rename", &pairs(&RENAMED_HEADER, &PAIR)).required().doc("`old:new` names."),
    Field::record("replace", &REPLACE).required().doc("`name:value` for what is there already."),
    Field::record("add", &pairs(&HEADER_PAIR, &PAIR))
        .required()
        .doc("`name:value` for what is not there yet."),
    Field::record("append", &pairs(&HEADER_PAIR, &PAIR))
        .required()
        .doc("`name:value`, besides what is there."),
];

const REPLACE: [Field; 4] = {
    let [body, headers, query] = pairs(&HEADER_PAIR, &PAIR);
    [
        body,
        headers,
        query,
        Field::string("uri").rules(&[Rule::Custom(uri)]).doc("The path that the upstream gets."),
    ]
};

const PAIR: Field = Field::string("").rules(&[Rule::Custom(pair)]);
const HEADER: Field = Field::string("").rules(&[Rule::Custom(header)]);
const HEADER_PAIR: Field = Field::string("").rules(&[Rule::Custom(header_pair)]);
const RENAMED_HEADER: Field = Field::string("").rules(&[Rule::Custom(renamed_header)]);

const fn names(headers: &'static Field) -> [Field; 3] {
    pairs(headers, &TEXT)
}

const fn pairs(headers: &'static Field, others: &'static Field) -> [Field; 3] {
    [
        Field::array("body", others).required().default_empty().doc("Of the body."),
        Field::array("headers", headers).required().default_empty().doc("Of the headers."),
        Field::array("querystring", others).required().default_empty().doc("Of the query."),
    ]
}

fn method(value: &Value) -> Result<(), String> {
    on_text(value, |text| {
        let is_upper = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if is_upper { Ok(()) } else { Err("invalid value: expected uppercase letters".to_owned()) }
    })
}

fn uri(value: &Value) -> Result<(), String> {
    on_text(value, |text| Template::parse(text).map(drop))
}

fn pair(value: &Value) -> Result<(), String> {
    on_text(value, |text| match name_and_value(text) {
        (name, None) => Err(format!("key '{name}' has no value")),
        (_, Some(value)) => Template::parse(value).map(drop),
    })
}

fn header(value: &Value) -> Result<(), String> {
    on_text(value, |text| is_header(name_and_value(text).0))
}

fn header_pair(value: &Value) -> Result<(), String> {
    on_text(value, |text| {
        let (name, content) = name_and_value(text);
        is_header(name)?;
        pair(value)?;
        headers::can_be_sent(&Template::parse(content.unwrap_or_default())?)
    })
}

fn renamed_header(value: &Value) -> Result<(), String> {
    on_text(value, |text| match name_and_value(text) {
        (_, None) => pair(value),
        (old, Some(new)) => is_header(old).and_then(|()| is_header(new)),
    })
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    http_method: Option<String>,
    remove: Lists,
    rename: Lists,
    replace: Lists,
    add: Lists,
    append: Lists,
}

#[derive(Deserialize)]
struct Lists {
    body: Vec<Text>,
    headers: Vec<Text>,
    querystring: Vec<Text>,
    #[serde(default)]
    uri: Option<Text>,
}

struct RequestTransformer {
    uri: Option<Template>,
    method: Option<Method>,
    headers: Vec<Change>,
    body: Vec<Change>,
    query: Vec<Change>,
    /// Whether no template asks for anything of a request.
    is_constant: bool,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let method = config.http_method.as_deref().map(|method| Method::from_bytes(method.as_bytes()));
    let uri = config
        .replace
        .uri
        .as_deref()
        .map(Template::parse)
        .transpose()
        .map_err(|why| at("replace.uri", &why))?;
    let headers = changes(&config, |lists| &lists.headers).map_err(|why| at("headers", &why))?;
    headers::check(&headers).map_err(|why| at("headers", &why))?;
    let body = changes(&config, |lists| &lists.body).map_err(|why| at("body", &why))?;
    let query = changes(&config, |lists| &lists.querystring).map_err(|why| at("querystring", &why))?;
    let is_constant = uri.as_ref().is_none_or(Template::is_constant)
        && headers.iter().chain(&body).chain(&query).all(Change::is_constant);
    Ok(Prepared::ready(RequestTransformer {
        uri,
        method: method.transpose().map_err(|_| "http_method: not a method")?,
        headers,
        body,
        query,
        is_constant,
    }))
}

fn at(field: &str, why: &str) -> String {
    format!("{field}: {why}")
}

/// All changes of a kind of thing, in the order in which they are done.
fn changes(config: &Config, of: impl Fn(&Lists) -> &Vec<Text>) -> Result<Vec<Change>, String> {
    let name = |text: &Text| template::unquoted(name_and_value(text).0);
    let value = |text: &Text| Template::parse(name_and_value(text).1.unwrap_or_default());
    let mut changes: Vec<Change> = of(&config.remove).iter().map(|text| Change::Remove(name(text))).collect();
    for text in of(&config.rename) {
        changes.push(Change::Rename(name(text), value(text)?));
    }
    for text in of(&config.replace) {
        changes.push(Change::Replace(name(text), value(text)?));
    }
    for text in of(&config.add) {
        changes.push(Change::Add(name(text), value(text)?));
    }
    for text in of(&config.append) {
        changes.push(Change::Append(name(text), value(text)?));
    }
    Ok(changes)
}

impl Plugin for RequestTransformer {
    fn wants_body(&self, request: &Request) -> bool {
        let form = Form::of(&request.headers);
        form.is_some() && (!self.body.is_empty() || self.moves_form(form.as_ref()))
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        // What templates see is the request as it came to this plugin.
        let facts = if self.is_constant { Facts::default() } else { Facts::of(request) };
        if let Some(path) = self.uri.as_ref().map(|uri| uri.render_path(&facts)) {
            set_target(request, &path);
        }
        let form = Form::of(&request.headers);
        if let Some(method) = &self.method {
            request.method = method.clone();
            if self.moves_form(form.as_ref()) {
                form_to_query(request);
            }
        }
        headers::apply(&self.headers, &mut request.headers, &facts);
        if let Some(form) = form.filter(|_| !self.body.is_empty()) {
            let body = request.body.clone().unwrap_or_default();
            if let Some(changed) = named::change_body(&form, &body, &self.body, &facts) {
                request.set_body(changed.into());
            }
        }
        if !self.query.is_empty() {
            let changed =
                named::change_args(request.query.as_deref().unwrap_or_default(), &self.query, &facts);
            request.query = Some(changed).filter(|query| !query.is_empty());
        }
        Step::Continue
    }
}

impl RequestTransformer {
    /// Whether the fields of a form become parameters, because the new method is one without a body.
    fn moves_form(&self, form: Option<&Form>) -> bool {
        let has_no_body = |method: &Method| matches!(*method, Method::GET | Method::HEAD | Method::TRACE);
        form == Some(&Form::Urlencoded) && self.method.as_ref().is_some_and(has_no_body)
    }
}

/// Adds the fields of a form to the query.
fn form_to_query(request: &mut Request) {
    let Some(form) = request.body.as_deref().and_then(|body| std::str::from_utf8(body).ok()) else { return };
    let mut query = request.query.take().unwrap_or_default();
    args::pairs(form).for_each(|(name, value)| args::push(&mut query, &name, value.as_deref()));
    request.query = Some(query).filter(|query| !query.is_empty());
}

/// Sends a request to a path that a template made. What cannot stand in a path is escaped; a `?` begins a query, which
/// goes before the one that is there.
fn set_target(request: &mut Request, target: &str) {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    request.set_path(format!("{slash}{}", template::escaped(path)));
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        let query = template::escaped(query);
        request.query = Some(match request.query.take() {
            Some(old) => format!("{query}&{old}"),
            None => query,
        });
    }
}

#[cfg(test)]
mod tests;
