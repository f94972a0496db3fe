//! The configuration of one vault: checked against its kind's field list, references still text.
//!
//! Owns: decoding from an entity or from kong.conf, spellings, defaults, and the second layer of a reference's
//! query options. Must not know: how references are resolved, or what the fields do. Data goes on to `resolve`,
//! which fills references in ([`Settings::filled`]) and hands the result to a backend.
//!
//! Exactly two layers: an entity does not fall back to kong.conf, and a default vault never sees an entity.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter, Write as _};

use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::field::{Exposure, Field, Setting, Type};
use crate::kind::Kind;
use crate::nearest::did_you_mean;
use crate::reference::{OptionValue, Reference};
use crate::template::Template;
use postern_secret::Secret;

#[cfg(test)]
mod tests;

/// The configuration of one vault.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    kind: Kind,
    values: BTreeMap<&'static str, Value>,
}

/// A value as written: checked, or a reference whose value is checked once it is known.
#[derive(Clone, PartialEq)]
enum Value {
    Checked(Setting),
    Pending(Template),
}

impl Debug for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked(setting) => setting.fmt(f),
            // What stands around a reference may be half of a credential.
            Self::Pending(template) => f.write_str(&template.starred()),
        }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name as it was written.
    pub field: String,
    /// What is wrong, in Kong's words where it has some; never the value of a secret field.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl FieldError {
    /// An error without a hint.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), hint: None }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Settings overlaid with query options, and the options that did not count.
#[derive(Debug)]
pub struct Overlaid {
    /// The effective settings.
    pub settings: Settings,
    /// Options that were unknown or invalid: Kong drops them, and so do we, but say so.
    pub dropped: Vec<FieldError>,
}

impl Settings {
    /// A vault with nothing configured but defaults.
    pub fn empty(kind: Kind) -> Self {
        Self { kind, values: BTreeMap::new() }
    }

    /// Decodes an entity's `config` and reports everything that is wrong with it.
    pub fn from_entity(kind: Kind, config: &Map<String, Json>) -> Result<Self, Vec<FieldError>> {
        let mut settings = Self::empty(kind);
        let mut errors = Vec::new();
        for (name, json) in config {
            let outcome = match kind.field(name) {
                None => Err(unknown_field(kind, name)),
                Some(_) if json.is_null() => Ok(()),
                Some(field) => value_of(field, json)
                    .map_err(|message| FieldError::new(name, message))
                    .and_then(|value| settings.insert(field, name, value)),
            };
            errors.extend(outcome.err());
        }
        // What is missing is only worth saying when what is there was understood.
        if errors.is_empty() {
            errors = settings.missing();
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// Decodes texts from kong.conf or the environment: `(field spelling, text)`, an empty text is no value.
    /// What is missing is not an error here: nobody may ever use the default vault of a kind.
    pub fn from_texts<'a>(
        kind: Kind,
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut settings = Self::empty(kind);
        let mut errors = Vec::new();
        for (name, text) in texts {
            let outcome = match kind.field(name) {
                None => Err(unknown_field(kind, name)),
                Some(_) if text.is_empty() => Ok(()),
                Some(field) => value_of_text(field, text)
                    .map_err(|message| FieldError::new(name, message))
                    .and_then(|value| settings.insert(field, name, value)),
            };
            errors.extend(outcome.err());
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// The kind of vault.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The effective settings for one reference. An invalid option counts as "no value", as in Kong: it does not
    /// fall back to what is configured. An option that must not be overridden is an error.
    pub fn overlaid(&self, reference: &Reference) -> Result<Overlaid, FieldError> {
        let mut settings = self.clone();
        let mut dropped = Vec::new();
        for (name, option) in reference.options() {
            let Some(field) = self.kind.field(name) else {
                dropped.push(unknown_field(self.kind, name));
                continue;
            };
            if field.exposure != Exposure::Open {
                return Err(FieldError::new(name, "cannot be set by a reference").with_hint(
                    "set it in the vault's own configuration; a reference could send credentials elsewhere",
                ));
            }
            settings.values.remove(field.name);
            match option_value(field, option) {
                Ok(Some(setting)) => {
                    settings.values.insert(field.name, Value::Checked(setting));
                }
                Ok(None) => {}
                Err(message) => dropped.push(FieldError::new(name, message)),
            }
        }
        Ok(Overlaid { settings, dropped })
    }

    /// The references that the fields hold, with the name of the field.
    pub fn references(&self) -> Vec<(&'static str, Reference)> {
        let pending = self.values.iter().filter_map(|(name, value)| match value {
            Value::Pending(template) => Some((*name, template)),
            Value::Checked(_) => None,
        });
        pending.flat_map(|(name, template)| template.references().map(move |r| (name, r.clone()))).collect()
    }

    /// The fields that hold references, as templates.
    pub fn pending(&self) -> impl Iterator<Item = (&'static Field, &Template)> {
        self.values.iter().filter_map(|(name, value)| match value {
            Value::Pending(template) => Some((self.kind.field(name)?, template)),
            Value::Checked(_) => None,
        })
    }

    /// The settings with one field's references replaced by their value, which is now checked.
    pub fn filled(mut self, field: &'static Field, text: &Secret) -> Result<Self, FieldError> {
        let setting = field.infer(text).map_err(|message| FieldError::new(field.name, message))?;
        self.values.insert(field.name, Value::Checked(setting));
        Ok(self)
    }

    /// The fields that were given, with their values as they may be shown: references as text, credentials as stars.
    pub fn shown(&self) -> Vec<(&'static Field, String)> {
        let shown = self.kind.fields().iter().filter_map(|field| {
            let text = match self.values.get(field.name)? {
                Value::Pending(template) if field.exposure == Exposure::Secret => template.starred(),
                Value::Pending(template) => template.to_string(),
                Value::Checked(setting) => show(field, setting),
            };
            Some((field, text))
        });
        shown.collect()
    }

    /// What is required and absent, by itself or because of other fields.
    pub fn missing(&self) -> Vec<FieldError> {
        let required = self.kind.fields().iter().filter(|field| field.required && !self.is_set(field.name));
        let mut errors: Vec<_> =
            required.map(|field| FieldError::new(field.name, "required field missing")).collect();
        errors.extend(self.kind.conflicts(self));
        errors
    }

    /// Whether a field has a value of its own, be it a reference or not.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A text, given or default; `None` where there is none or where it is still a reference.
    pub fn text(&self, name: &str) -> Option<Secret> {
        match self.setting(name)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, given or default.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.setting(name)? {
            Setting::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// A number, given or default.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.setting(name)? {
            Setting::Number(number) => Some(number),
            _ => None,
        }
    }

    /// A truth, given or default; `false` where there is neither.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.setting(name), Some(Setting::Boolean(true)))
    }

    /// Texts; empty where there are none.
    pub fn texts(&self, name: &str) -> Vec<Secret> {
        match self.setting(name) {
            Some(Setting::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    /// A digest of the fields that count, by which equal settings are found again.
    pub fn fingerprint_of(&self, counts: impl Fn(&Field) -> bool) -> [u8; 32] {
        let mut text = zeroize::Zeroizing::new(format!("{:?};", self.kind));
        let fields = self.values.iter().filter(|(name, _)| self.kind.field(name).is_some_and(&counts));
        for (name, value) in fields {
            // Lengths keep `a=b;c` from being read two ways. Writing to a string cannot fail.
            let _ = match value {
                Value::Pending(template) => write!(text, "{name}<{}:{template};", template.to_string().len()),
                Value::Checked(Setting::Text(secret)) => {
                    write!(text, "{name}={}:{};", secret.expose().len(), secret.expose())
                }
                Value::Checked(Setting::Texts(secrets)) => secrets.iter().try_for_each(|secret| {
                    write!(text, "{name}+{}:{};", secret.expose().len(), secret.expose())
                }),
                Value::Checked(other) => write!(text, "{name}={other:?};"),
            };
        }
        Sha256::digest(text.as_bytes()).into()
    }

    fn setting(&self, name: &str) -> Option<Setting> {
        match self.values.get(name) {
            Some(Value::Checked(setting)) => Some(setting.clone()),
            Some(Value::Pending(_)) => None,
            None => self.kind.field(name)?.default_setting(),
        }
    }

    fn insert(&mut self, field: &'static Field, spelling: &str, value: Value) -> Result<(), FieldError> {
        match self.values.get(field.name) {
            Some(known) if *known != value => {
                let names: Vec<_> = field.spellings().collect();
                Err(FieldError::new(
                    spelling,
                    format!("differs from its other spelling ({})", names.join(", ")),
                )
                .with_hint(format!("keep one of them; {} is the usual one", field.name)))
            }
            _ => {
                self.values.insert(field.name, value);
                Ok(())
            }
        }
    }
}

fn unknown_field(kind: Kind, name: &str) -> FieldError {
    let error = FieldError::new(name, "unknown field");
    let known = || kind.fields().iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
    let near = did_you_mean(name, kind.fields().iter().flat_map(Field::spellings));
    error.with_hint(near.unwrap_or_else(|| format!("a vault of kind {} has: {}", kind.name(), known())))
}

fn value_of(field: &Field, json: &Json) -> Result<Value, String> {
    let setting = match (field.ty, json) {
        (_, Json::String(text)) if Template::has_reference(text) => return pending(text),
        (Type::String, Json::String(text)) => Setting::Text(Secret::from(text.as_str())),
        (Type::Strings, Json::String(text)) => {
            return field.infer(&Secret::from(text.as_str())).map(Value::Checked);
        }
        (Type::Strings, Json::Array(items)) => {
            let texts = items.iter().map(|item| match item {
                Json::String(text) if !Template::has_reference(text) => Ok(Secret::from(text.as_str())),
                Json::String(_) => {
                    Err("write references in one string with commas, not in a list".to_owned())
                }
                _ => Err(field.expected()),
            });
            Setting::Texts(texts.collect::<Result<_, _>>()?)
        }
        (Type::Boolean, Json::Bool(truth)) => Setting::Boolean(*truth),
        (Type::Integer, Json::Number(number)) => {
            Setting::Integer(number.as_i64().ok_or_else(|| field.expected())?)
        }
        (Type::Number, Json::Number(number)) => {
            Setting::Number(number.as_f64().ok_or_else(|| field.expected())?)
        }
        _ => return Err(field.expected()),
    };
    field.obeys(setting).map(Value::Checked)
}

fn value_of_text(field: &Field, text: &str) -> Result<Value, String> {
    if Template::has_reference(text) {
        pending(text)
    } else {
        field.infer(&Secret::from(text)).map(Value::Checked)
    }
}

fn pending(text: &str) -> Result<Value, String> {
    Template::parse(text).map(Value::Pending).map_err(|error| error.to_string())
}

/// A query option as a value; `None` clears the field.
fn option_value(field: &Field, option: &OptionValue) -> Result<Option<Setting>, String> {
    match option {
        OptionValue::Text(text) if text.is_empty() => Ok(None),
        OptionValue::Text(text) => field.infer(&Secret::from(text.as_str())).map(Some),
        OptionValue::True if field.ty == Type::Boolean => Ok(Some(Setting::Boolean(true))),
        OptionValue::List(items) if field.ty == Type::Strings => {
            let texts = items.iter().map(|item| match item {
                OptionValue::Text(text) => Ok(Secret::from(text.as_str())),
                OptionValue::True | OptionValue::List(_) => Err(field.expected()),
            });
            texts.collect::<Result<_, _>>().map(|texts| Some(Setting::Texts(texts)))
        }
        OptionValue::True | OptionValue::List(_) => Err(field.expected()),
    }
}

fn show(field: &Field, setting: &Setting) -> String {
    match setting {
        _ if field.exposure == Exposure::Secret => "***".to_owned(),
        Setting::Text(text) => text.expose().to_owned(),
        Setting::Integer(number) => number.to_string(),
        Setting::Number(number) => number.to_string(),
        Setting::Boolean(truth) => truth.to_string(),
        Setting::Texts(texts) => texts.iter().map(Secret::expose).collect::<Vec<_>>().join(","),
    }
}
