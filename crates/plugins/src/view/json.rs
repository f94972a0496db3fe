//! A JSON object whose members can be changed one by one, while the others stay byte for byte.
//!
//! Owns: the order of the members, and that numbers keep the digits they were written with. Must not know: who asks.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::args::Found;

/// Members in their order; a name may stand there twice.
#[derive(Clone, Debug, Default)]
pub struct Object {
    members: Vec<(String, Box<RawValue>)>,
}

impl Object {
    /// Reads one; `None` for anything else.
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The text of a member, as [`Found`] says of a query: a list or an object is as if the name stood there twice.
    pub fn find(&self, name: &str) -> Found<'static> {
        let mut values = self.members.iter().filter(|(known, _)| known == name).map(|(_, value)| value.get());
        let Some(value) = values.next() else { return Found::Nothing };
        if values.next().is_some() || value.starts_with(['[', '{']) {
            return Found::Often;
        }
        Found::Once(serde_json::from_str(value).ok().map(Cow::Owned))
    }

    /// A member as it is written: the last, where its name stands there twice.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Takes a name out, and tells its last value.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let mut removed = None;
        while let Some(index) = self.members.iter().position(|(known, _)| known == name) {
            removed = Some(self.members.remove(index).1);
        }
        removed
    }

    /// Puts a value in place of the one of this name, or at the end.
    pub fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.members.iter().position(|(known, _)| known == name) {
            None => self.members.push((name.to_owned(), value)),
            Some(index) => {
                let mut at = 0;
                self.members.retain(|(known, _)| {
                    at += 1;
                    at <= index + 1 || known != name
                });
                self.members[index].1 = value;
            }
        }
    }

    /// The object as text.
    pub fn write(&self) -> String {
        let mut text = String::from("{");
        for (index, (name, value)) in self.members.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        text
    }
}

/// A text as a JSON value.
pub fn text(text: &str) -> Box<RawValue> {
    // A text is always a JSON value.
    serde_json::value::to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object { members })
            }
        }
        deserializer.deserialize_map(Members)
    }
}
