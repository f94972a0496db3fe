//! Texts of a form → JSON, each by the type of its field.
//!
//! Owns: what a text means for a type, as Kong takes it: an empty one is null, one for a list is a list of one. Must not
//! know: whether it is right. A text that does not fit its type stays one, and the check says what is wrong with it.

use std::collections::BTreeMap;

use postern_model::Kind;
use postern_model::field::{Field, Plugins, Type};
use postern_secrets::field as of_vaults;
use serde_json::{Map, Value};

use super::form::Tree;

/// What clients may say of a certificate besides its fields.
const SNIS: Field = Field::strings("snis");

/// An entity of a kind.
pub(super) fn entity(
    tree: Tree,
    kind: Kind,
    known: Option<&str>,
    plugins: &dyn Plugins,
) -> Map<String, Value> {
    let Tree::Map(entries) = tree else { return Map::new() };
    let name = match entries.get("name") {
        Some(Tree::Text(name)) => Some(name.clone()),
        _ => known.map(ToOwned::to_owned),
    };
    let name = name.unwrap_or_default();
    let infer = |(key, tree): (String, Tree)| {
        let field = kind.fields().iter().find(|field| field.name == key);
        let value = match (kind.collection(), key.as_str()) {
            ("plugins", "config") => match plugins.schema(&name) {
                Some(schema) => config(tree, schema.config.fields),
                None => as_is(tree),
            },
            ("vaults", "config") => vault(tree, &name),
            ("certificates", "snis") => value(tree, &SNIS),
            _ => field.map_or_else(|| as_is(tree.clone()), |field| value(tree.clone(), field)),
        };
        (key, value)
    };
    entries.into_iter().map(infer).collect()
}

/// Something with these fields.
pub(super) fn fields(tree: Tree, fields: &'static [Field]) -> Map<String, Value> {
    match record(tree, fields) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The `config` of a plugin, older names included.
fn config(tree: Tree, fields: &'static [Field]) -> Value {
    let Tree::Map(entries) = tree else { return as_is(tree) };
    let infer = |(key, tree): (String, Tree)| {
        let own = fields.iter().find(|field| field.name == key);
        let value = match own.or_else(|| older(fields, &key)) {
            Some(field) => value(tree, field),
            None => as_is(tree),
        };
        (key, value)
    };
    Value::Object(entries.into_iter().map(infer).collect())
}

/// The field that is meant by an older name.
fn older(fields: &'static [Field], name: &str) -> Option<&'static Field> {
    fields.iter().find_map(|field| match field.ty {
        _ if field.shorthands.contains(&name) => Some(field),
        Type::Record(fields) => older(fields, name),
        _ => None,
    })
}

fn vault(tree: Tree, name: &str) -> Value {
    let Tree::Map(entries) = tree else { return as_is(tree) };
    let fields = postern_secrets::Kind::parse(name).map(postern_secrets::Kind::fields).unwrap_or_default();
    let infer = |(key, tree): (String, Tree)| {
        let ty = fields.iter().find(|field| field.spellings().any(|name| name == key)).map(|field| field.ty);
        let value = match (ty, tree) {
            (_, Tree::Text(text)) if text.is_empty() => Value::Null,
            (Some(of_vaults::Type::Integer | of_vaults::Type::Number), Tree::Text(text)) => number(text),
            (Some(of_vaults::Type::Boolean), Tree::Text(text)) => truth(text),
            (Some(of_vaults::Type::Strings), tree @ Tree::Map(_)) => list(tree, &postern_model::field::TEXT),
            (_, tree) => as_is(tree),
        };
        (key, value)
    };
    Value::Object(entries.into_iter().map(infer).collect())
}

fn value(tree: Tree, field: &Field) -> Value {
    match (field.ty, tree) {
        (_, Tree::Text(text)) if text.is_empty() => Value::Null,
        (Type::Integer | Type::Number, Tree::Text(text)) => number(text),
        (Type::Boolean, Tree::Text(text)) => truth(text),
        (Type::Array(element) | Type::Set(element), tree) => list(tree, element),
        (Type::Map(_, values), Tree::Map(entries)) => {
            entries.into_iter().map(|(key, tree)| (key, value(tree, values))).collect()
        }
        (Type::Record(fields), tree @ Tree::Map(_)) => record(tree, fields),
        // `service.id=`, which unbinds it.
        (Type::Foreign(_), Tree::Map(entries)) if entries.values().all(is_empty) => Value::Null,
        (_, tree) => as_is(tree),
    }
}

fn is_empty(tree: &Tree) -> bool {
    matches!(tree, Tree::Text(text) if text.is_empty())
}

fn record(tree: Tree, fields: &'static [Field]) -> Value {
    let Tree::Map(entries) = tree else { return as_is(tree) };
    let infer = |(key, tree): (String, Tree)| {
        let field = fields.iter().find(|field| field.name == key);
        let value = field.map_or_else(|| as_is(tree.clone()), |field| value(tree.clone(), field));
        (key, value)
    };
    Value::Object(entries.into_iter().map(infer).collect())
}

/// `a`, `[]=a` and `[1]=a` are all lists.
fn list(tree: Tree, element: &Field) -> Value {
    let items = match tree {
        Tree::List(items) => items,
        Tree::Map(entries) => match by_index(entries) {
            Ok(items) => items,
            Err(entries) => return as_is(Tree::Map(entries)),
        },
        text @ Tree::Text(_) => vec![text],
    };
    items.into_iter().map(|item| value(item, element)).collect()
}

/// The values in the order of their numbers, if all names are numbers. Gaps are closed: no index costs memory.
fn by_index(entries: BTreeMap<String, Tree>) -> Result<Vec<Tree>, BTreeMap<String, Tree>> {
    if entries.keys().any(|key| key.parse::<u32>().is_err()) {
        return Err(entries);
    }
    let mut items: Vec<(u32, Tree)> =
        entries.into_iter().map(|(key, tree)| (key.parse().unwrap_or_default(), tree)).collect();
    items.sort_by_key(|(index, _)| *index);
    Ok(items.into_iter().map(|(_, tree)| tree).collect())
}

fn number(text: String) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.into();
    }
    let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    number.map_or(Value::String(text), Value::Number)
}

fn truth(text: String) -> Value {
    match text.as_str() {
        "true" => true.into(),
        "false" => false.into(),
        _ => text.into(),
    }
}

fn as_is(tree: Tree) -> Value {
    match tree {
        Tree::Text(text) if text.is_empty() => Value::Null,
        Tree::Text(text) => text.into(),
        Tree::List(items) => items.into_iter().map(as_is).collect(),
        Tree::Map(entries) => entries.into_iter().map(|(key, tree)| (key, as_is(tree))).collect(),
    }
}
