//! What a field is when it is not given.
//!
//! Owns: the way from a [`Default`] to a [`Value`]. Must not know: documents.

use crate::field::{Default, Field, Type};
use crate::value::{Record, Text, Value};

/// The default of a field; null where it has none.
pub(crate) fn of(field: &Field) -> Value {
    if let Some(fields) = fields(field) {
        return Value::Record(Record::new(fields.iter().map(|field| (field.name, of(field))).collect()));
    }
    match field.default {
        Default::None | Default::Fields => Value::Null,
        Default::Text(text) => Value::Text(Text::from(text)),
        Default::Integer(number) => number_of(field.ty, number),
        Default::Number(number) => Value::Number(number),
        Default::Boolean(truth) => Value::Boolean(truth),
        Default::Texts(texts) => {
            Value::List(texts.iter().map(|text| Value::Text(Text::from(*text))).collect())
        }
        Default::Integers(numbers) => {
            let element = match field.ty {
                Type::Array(element) | Type::Set(element) => element.ty,
                other => other,
            };
            Value::List(numbers.iter().map(|number| number_of(element, *number)).collect())
        }
        Default::Empty if matches!(field.ty, Type::Map(..)) => Value::Map(Vec::new()),
        Default::Empty => Value::List(Vec::new()),
    }
}

/// The fields of a record that is there also when it is not given.
pub(crate) fn fields(field: &Field) -> Option<&'static [Field]> {
    match field.ty {
        Type::Record(fields) if field.required || matches!(field.default, Default::Fields) => Some(fields),
        _ => None,
    }
}

/// A field of numbers holds numbers, also where its default is a whole one.
fn number_of(ty: Type, number: i64) -> Value {
    match ty {
        #[expect(clippy::cast_precision_loss, reason = "defaults are far below 2^53")]
        Type::Number => Value::Number(number as f64),
        _ => Value::Integer(number),
    }
}
