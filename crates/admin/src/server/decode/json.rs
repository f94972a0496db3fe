//! Bytes → a JSON object with one meaning: bounded, and no name twice.
//!
//! Owns: the bounds while it is read, so that what is too large is never built. Parsers differ in which of two equal
//! names counts; one that stands twice is refused, so that nobody in front of the gateway can have read another body.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{DEPTH, Unreadable, VALUES};

/// Reads an object.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)?;
    let bounds = Bounds { left: Cell::new(VALUES), why: RefCell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Seed { bounds: &bounds, depth: 0 }.deserialize(&mut deserializer);
    match read.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(Value::Object(map)) => Ok(map),
        // serde_json's own message would quote values.
        _ => Err(bounds.why.take().unwrap_or(Unreadable::NotJson)),
    }
}

struct Bounds {
    left: Cell<usize>,
    why: RefCell<Option<Unreadable>>,
}

impl Bounds {
    fn refuse<E: Error>(&self, why: Unreadable) -> E {
        *self.why.borrow_mut() = Some(why);
        E::custom(why)
    }

    fn one_more<E: Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.refuse(Unreadable::TooMany)),
        }
    }

    fn text<E: Error>(&self, text: &str) -> Result<String, E> {
        if text.contains('\0') { Err(self.refuse(Unreadable::Nul)) } else { Ok(text.to_owned()) }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    bounds: &'a Bounds,
    depth: usize,
}

impl Seed<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        match self.depth < DEPTH {
            true => Ok(Self { depth: self.depth + 1, ..self }),
            false => Err(self.bounds.refuse(Unreadable::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.bounds.one_more()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.bounds.text(text).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let name = self.bounds.text(&name)?;
            let value = entries.next_value_seed(below)?;
            if map.insert(name, value).is_some() {
                return Err(self.bounds.refuse(Unreadable::Twice));
            }
        }
        Ok(map.into())
    }
}
