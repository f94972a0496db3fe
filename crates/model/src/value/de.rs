//! From a record to a type of Rust's, by serde.
//!
//! Owns: the visit of values. Must not know: what is read. Errors name types and fields, never a value.

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor, value::Error};
use serde::forward_to_deserialize_any;

use super::{Record, Value};

pub(super) struct RecordDe<'a>(pub(super) &'a Record);

#[derive(Clone, Copy)]
pub(super) struct ValueDe<'a>(&'a Value);

impl<'de, 'a: 'de> Deserializer<'de> for RecordDe<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries =
            self.0.fields.iter().map(|(name, value)| (StrDeserializer::<Error>::new(name), ValueDe(value)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, 'a: 'de> Deserializer<'de> for ValueDe<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Number(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::Pending(_) => Err(Error::custom("a reference that is not resolved")),
            Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(ValueDe))),
            Value::Map(entries) => {
                let entries =
                    entries.iter().map(|(key, value)| (StrDeserializer::<Error>::new(key), ValueDe(value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            Value::Record(record) => RecordDe(record).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Text(text) => StrDeserializer::<Error>::new(text)
                .deserialize_enum(name, variants, visitor)
                // The word itself may be a secret.
                .map_err(|_| Error::custom(format_args!("expected one of: {}", variants.join(", ")))),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, 'a: 'de> IntoDeserializer<'de, Error> for ValueDe<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
