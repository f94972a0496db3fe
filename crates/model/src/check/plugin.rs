//! What is special about plugins: their field list depends on their name.
//!
//! Owns: which plugin is meant, the shared part of its configuration, its protocols, to what it may be bound. Must not
//! know: any plugin; the registry that the caller hands in does.

use postern_secrets::nearest::did_you_mean;

use crate::document::{CONCEALED, Document, Node};
use crate::field::{PluginSchema, Plugins};
use crate::value::{Record, Text, Value};
use crate::violation::{Report, Violation};

/// What the plugin of this name takes.
pub(super) fn schema(
    node: &Node,
    plugins: &dyn Plugins,
    path: &str,
    report: &mut Report,
) -> Option<&'static PluginSchema> {
    let at = |node: &Node| Some(node.position());
    let Some(name) = node.get("name") else {
        let position = node.entry("name").map_or(node.position(), |entry| entry.key.position);
        report.push(Violation::error(format!("{path}.name"), Some(position), "required field missing"));
        return None;
    };
    let Some(text) = name.as_str() else {
        let message = format!("expected a string, got {}", name.type_name());
        let violation = Violation::error(format!("{path}.name"), at(name), message);
        report.push(violation.with_hint_if(crate::entity::quote_hint(name, "a string")));
        return None;
    };
    let known = plugins.schema(text);
    if known.is_none() {
        let is_concealed = name.as_scalar().is_some_and(|scalar| scalar.concealed);
        let shown = if is_concealed { CONCEALED } else { text };
        let message = format!("plugin '{shown}' not enabled; add it to the 'plugins' configuration property");
        let hint = report.hint(|| {
            did_you_mean(text, plugins.names())
                .filter(|_| !is_concealed)
                .unwrap_or_else(|| format!("this build has: {}", plugins.names().join(", ")))
        });
        report.push(Violation::error(format!("{path}.name"), at(name), message).with_hint_if(hint));
    }
    known
}

/// The entry of `_plugin_configs` that `_config` names.
pub(super) fn shared(node: &Node, document: &Document, path: &str, report: &mut Report) -> Option<Node> {
    let name = node.get("_config")?;
    let path = format!("{path}._config");
    let Some(text) = name.as_str() else {
        let message = format!("expected a string, got {}", name.type_name());
        report.push(Violation::error(path, Some(name.position()), message));
        return None;
    };
    let configs = document.root.get("_plugin_configs");
    let Some(config) = configs.and_then(|configs| configs.get(text)) else {
        let is_concealed = name.as_scalar().is_some_and(|scalar| scalar.concealed);
        let shown = if is_concealed { CONCEALED } else { text };
        let message = format!("invalid reference '_config: {shown}' (no such entry in '_plugin_configs')");
        let hint = report.hint(|| {
            let entries = configs.and_then(Node::as_map).unwrap_or_default();
            did_you_mean(
                text,
                entries.iter().take(500).filter(|entry| !entry.key.concealed).map(|entry| &*entry.key.text),
            )
        });
        let hint = hint.flatten().filter(|_| !is_concealed);
        report.push(Violation::error(path, Some(name.position()), message).with_hint_if(hint));
        return None;
    };
    if config.as_map().is_none() {
        let message = format!("expected a mapping, got {}", config.type_name());
        report.push(Violation::error(format!("_plugin_configs.{text}"), Some(config.position()), message));
        return None;
    }
    Some(config.clone())
}

/// Its protocols: those that the plugin knows, or some of them.
pub(super) fn protocols(
    schema: &'static PluginSchema,
    record: &mut Record,
    node: &Node,
    path: &str,
    report: &mut Report,
) {
    let Some(given) = record.get("protocols").and_then(Value::as_list) else {
        let all = schema.protocols.iter().map(|name| Value::Text(Text::from(*name))).collect();
        record.set("protocols", Value::List(all));
        return;
    };
    let is_foreign = |value: &Value| value.as_text().is_some_and(|name| !schema.protocols.contains(&name));
    if given.iter().any(is_foreign) {
        let position = node.get("protocols").unwrap_or(node).position();
        let message = format!("expected one of: {}", schema.protocols.join(", "));
        report.push(Violation::error(format!("{path}.protocols"), Some(position), message));
    }
}

/// That it is bound to nothing to which it may not be.
pub(super) fn bindings(
    schema: &'static PluginSchema,
    record: &Record,
    node: &Node,
    path: &str,
    report: &mut Report,
) {
    for field in schema.not_bound_to.iter().filter(|field| record.get(field).is_some()) {
        let position = node.get(field).unwrap_or(node).position();
        let violation = Violation::error(format!("{path}.{field}"), Some(position), "value must be null");
        report.push(violation.with_hint(format!(
            "{} cannot be bound to a {}",
            schema.name,
            field.replace('_', " ")
        )));
    }
}
