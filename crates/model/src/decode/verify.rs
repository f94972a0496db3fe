//! A record whose references are filled in, checked by the field list that it was read by.
//!
//! Owns: that a value out of a vault obeys the rules that a value in the file obeys. Must not know: vaults. An error
//! names the field and what was expected of it; it never quotes a value, nor what a custom rule says, which may.

use super::rule;
use crate::field::{Check, Field, Rule, Schema, Type};
use crate::path::{self, Step};
use crate::value::{Record, Value};

/// Checks every field and what is between them.
pub(crate) fn verify(record: &Record) -> Result<(), String> {
    let Some(schema) = record.schema() else { return Ok(()) };
    Verifier { steps: Vec::new() }.record(record, schema)
}

struct Verifier<'a> {
    steps: Vec<Step<'a>>,
}

impl<'a> Verifier<'a> {
    fn record(&mut self, record: &'a Record, schema: &'static Schema) -> Result<(), String> {
        self.fields(record, schema.fields)?;
        for check in schema.checks {
            let Err((field, message)) = rule::check(check, record) else { continue };
            self.steps.extend(field.split('.').filter(|name| !name.is_empty()).map(Step::Key));
            return Err(match check {
                Check::Custom(_) => self.error("not valid together with the other fields"),
                _ => self.error(&message),
            });
        }
        Ok(())
    }

    fn fields(&mut self, record: &'a Record, fields: &'static [Field]) -> Result<(), String> {
        for (name, value) in record.fields() {
            let Some(field) = fields.iter().find(|field| field.name == name) else { continue };
            self.steps.push(Step::Key(name));
            self.value(value, field)?;
            self.steps.pop();
        }
        Ok(())
    }

    fn value(&mut self, value: &'a Value, field: &'static Field) -> Result<(), String> {
        match (value, field.ty) {
            (Value::Null, _) => return Ok(()),
            (Value::Pending(_), _) => return Err(self.error("a reference that is not resolved")),
            (Value::List(items), Type::Array(element) | Type::Set(element)) => {
                for (index, item) in items.iter().enumerate() {
                    self.steps.push(Step::Index(index));
                    self.value(item, element)?;
                    self.steps.pop();
                }
            }
            (Value::Map(entries), Type::Map(_, values)) => {
                for (key, item) in entries {
                    self.steps.push(Step::Key(key));
                    self.value(item, values)?;
                    self.steps.pop();
                }
            }
            (Value::Record(record), ty) => match (record.schema(), ty) {
                (Some(schema), _) => self.record(record, schema)?,
                (None, Type::Record(fields)) => self.fields(record, fields)?,
                _ => {}
            },
            _ => {}
        }
        let broken = field.rules.iter().find_map(|rule| Some((rule, rule::obeys(rule, value).err()?)));
        match broken {
            None => Ok(()),
            Some((Rule::Custom(_), _)) => Err(self.error("invalid value")),
            Some((_, message)) => Err(self.error(&message)),
        }
    }

    fn error(&self, message: &str) -> String {
        match self.steps.is_empty() {
            true => message.to_owned(),
            false => format!("{}: {message}", path::join("", &self.steps)),
        }
    }
}
