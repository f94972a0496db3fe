//! `postern plugins`: the plugins of this build, what they take, and what they do not do.
//!
//! Owns: the table, and docs/plugins.md, both from the field lists. Must not know: any plugin.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use postern_model::field::{Default, Field, Rule, Type};
use postern_plugins::examples;
use postern_plugins::registry::{Definition, Registry};
use serde_json::{Value, json};

use super::vault::println;

/// Prints them all.
pub(super) fn plugins(json: bool, markdown: bool) -> Result<ExitCode> {
    let all = Registry::bundled().0;
    match (json, markdown) {
        (true, _) => println(&serde_json::to_string_pretty(&as_json(all))?)?,
        (_, true) => println(page(all).trim_end())?,
        _ => println(table(all).trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A field with its path, outermost first.
struct Row {
    path: String,
    field: Field,
    /// Where only defaults are taken, of this field or of what it stands in: that field, and why.
    gap: Option<(String, &'static str)>,
}

fn rows(fields: &'static [Field]) -> Vec<Row> {
    let mut rows = Vec::new();
    gather("", fields, None, &mut rows);
    rows
}

fn gather(above: &str, fields: &'static [Field], gap: Option<&(String, &'static str)>, rows: &mut Vec<Row>) {
    for field in fields {
        let path = if above.is_empty() { field.name.to_owned() } else { format!("{above}.{}", field.name) };
        let own = field.unsupported.map(|reason| (path.clone(), reason));
        let gap = gap.cloned().or(own);
        match field.ty {
            Type::Record(fields) => gather(&path, fields, gap.as_ref(), rows),
            Type::Array(element) | Type::Set(element) => {
                rows.push(Row { path: path.clone(), field: *field, gap: gap.clone() });
                if let Type::Record(fields) = element.ty {
                    gather(&format!("{path}[]"), fields, gap.as_ref(), rows);
                }
            }
            _ => rows.push(Row { path, field: *field, gap }),
        }
    }
}

fn table(all: &'static [Definition]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{:<24} {:>8}  {:<36} {:>8}", "PLUGIN", "PRIORITY", "PHASES", "FIELDS");
    let (mut done, mut total) = (0, 0);
    let mut gaps = Vec::new();
    for Definition { schema, phases, .. } in all {
        let rows = rows(schema.config.fields);
        let supported = rows.iter().filter(|row| row.gap.is_none()).count();
        (done, total) = (done + supported, total + rows.len());
        let fields = format!("{supported}/{}", rows.len());
        let _ =
            writeln!(out, "{:<24} {:>8}  {:<36} {fields:>8}", schema.name, schema.priority, named(phases));
        for row in rows {
            gaps.extend(row.gap.map(|(path, reason)| (format!("{}.config.{path}", schema.name), reason)));
        }
    }
    let _ = writeln!(out, "\n{} plugins, {done} of {total} fields.", all.len());
    if !gaps.is_empty() {
        let _ = writeln!(out, "\nTaken only with their defaults; anything else is refused:");
        gaps.dedup();
        for (path, reason) in gaps {
            let _ = writeln!(out, "  {path}: {reason}");
        }
    }
    out
}

fn named(phases: &postern_plugins::registry::Phases) -> String {
    let all = [
        ("rewrite", phases.rewrite),
        ("access", phases.access),
        ("response", phases.response),
        ("body_filter", phases.body_filter),
        ("log", phases.log),
    ];
    all.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn as_json(all: &'static [Definition]) -> Value {
    let field = |row: &Row| {
        json!({
            "path": row.path, "type": kind(&row.field), "default": default(&row.field),
            "required": row.field.required, "credential": row.field.secret, "unsupported": row.gap.as_ref().map(|(_, reason)| reason),
        })
    };
    let plugin = |definition: &Definition| {
        let schema = definition.schema;
        json!({
            "name": schema.name, "priority": schema.priority, "description": schema.doc,
            "fields": rows(schema.config.fields).iter().map(field).collect::<Vec<_>>(),
        })
    };
    all.iter().map(plugin).collect()
}

/// docs/plugins.md.
fn page(all: &'static [Definition]) -> String {
    let mut out = String::from(
        "# Plugins\n\n\
         <!-- Written by `postern plugins --markdown`; a test compares. -->\n\n\
         Every field that is text may be a reference to a secret, or hold one: `{vault://...}`. When the secret changes,\n\
         the plugin has the new value without a restart; while it has none, requests that need the plugin are answered\n\
         with 503. Plugins run by their priority, the highest first. What is different from Kong:\n\
         [from-kong.md](from-kong.md#plugins).\n\n",
    );
    for Definition { schema, .. } in all {
        let _ = writeln!(out, "- [{0}](#{0}): {1}", schema.name, schema.doc);
    }
    for Definition { schema, phases, .. } in all {
        let _ = writeln!(
            out,
            "\n## {}\n\n{} Priority {}; phases: {}.",
            schema.name,
            schema.doc,
            schema.priority,
            named(phases)
        );
        if !schema.not_bound_to.is_empty() {
            let _ = writeln!(
                out,
                "Not to be bound to a {}.",
                schema.not_bound_to.join(", nor to a ").replace('_', " ")
            );
        }
        if let Some(example) = examples::of(schema.name) {
            let _ = writeln!(out, "\n```yaml\n{}\n```", example.trim_end());
        }
        let _ = writeln!(out, "\n| field | type | default | |\n|---|---|---|---|");
        for row in rows(schema.config.fields) {
            let default = default(&row.field);
            let default =
                if default.is_null() { String::new() } else { format!("`{}`", cell(&default.to_string())) };
            let has_default = !matches!(row.field.default, Default::None);
            let must = if row.field.required && !has_default { "**needed** " } else { "" };
            let gap =
                row.gap.map_or_else(String::new, |(_, reason)| format!(" *Only the default: {reason}.*"));
            let _ = writeln!(
                out,
                "| `{}` | {} | {default} | {must}{}{gap} |",
                row.path,
                cell(&kind(&row.field)),
                cell(row.field.doc)
            );
        }
    }
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The type and its limits, in words.
fn kind(field: &Field) -> String {
    let name = match field.ty {
        Type::String => "text".to_owned(),
        Type::Integer => "integer".to_owned(),
        Type::Number => "number".to_owned(),
        Type::Boolean => "boolean".to_owned(),
        Type::Array(element) | Type::Set(element) => format!("list of {}", kind(element)),
        Type::Map(_, values) => format!("map to {}", kind(values)),
        Type::Record(_) => "record".to_owned(),
        Type::Foreign(collection) => collection.to_owned(),
        Type::Any => "anything".to_owned(),
    };
    let limits = field.rules.iter().find_map(|rule| match rule {
        Rule::OneOf(words) => Some(words.join(", ")),
        Rule::Between(low, high) => Some(format!("{low} to {high}")),
        Rule::Above(low) => Some(format!("above {low}")),
        Rule::OneOfIntegers(numbers) => {
            Some(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))
        }
        _ => None,
    });
    let secret = if field.secret { ", a credential" } else { "" };
    limits.map_or_else(|| format!("{name}{secret}"), |limits| format!("{name}: {limits}{secret}"))
}

fn default(field: &Field) -> Value {
    match field.default {
        Default::None | Default::Fields => Value::Null,
        Default::Text(text) => text.into(),
        Default::Integer(number) => number.into(),
        Default::Number(number) => number.into(),
        Default::Boolean(truth) => truth.into(),
        Default::Texts(texts) => texts.into(),
        Default::Integers(numbers) => numbers.into(),
        Default::Empty if matches!(field.ty, Type::Map(..)) => json!({}),
        Default::Empty => json!([]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_field_lists_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins.md");
        let written = std::fs::read_to_string(path).expect("docs/plugins.md");
        let page = page(Registry::bundled().0);
        assert!(
            written.trim_end() == page.trim_end(),
            "docs/plugins.md is old: cargo run -p postern -- plugins --markdown > docs/plugins.md"
        );
    }

    #[test]
    fn every_example_is_a_plugin_that_can_be_used() {
        for definition in Registry::bundled().0 {
            let name = definition.schema.name;
            let example = examples::of(name).expect("an example");
            let indented = example.lines().map(|line| format!("  {line}\n")).collect::<String>();
            let yaml = format!("_format_version: \"3.0\"\nplugins:\n- {}", indented.trim_start());
            let document = postern_model::read(yaml.as_bytes(), &|_: &str| None).expect("YAML");
            let checked = postern_model::check(document, &Registry::bundled());
            let violations = checked.map_or_else(|violations| violations, |checked| checked.warnings);
            assert!(violations.is_empty(), "{name}: {violations:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let table = table(Registry::bundled().0);
        assert!(table.contains("rate-limiting"), "{table}");
        let rows = rows(Registry::bundled().get("rate-limiting").unwrap().schema.config.fields);
        assert!(rows.iter().any(|row| row.path == "redis.host"));
        assert!(
            rows.iter().any(|row| row.path == "redis.cloud_authentication.aws_region" && row.gap.is_some())
        );
    }
}
