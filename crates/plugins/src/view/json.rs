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
        // All in one go: a body may repeat a name a million times.
        self.members.extract_if(.., |(known, _)| known == name).last().map(|(_, value)| value)
    }

    /// Gives a member another name; what has that name goes. Says whether anything was there.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        let Some(value) = (old != new).then(|| self.remove(old)).flatten() else { return false };
        self.remove(new);
        self.set(new, value);
        true
    }

    /// Puts a value more into a list. As in Kong, a text becomes a list of two, and what is neither is lost.
    pub fn append(&mut self, name: &str, value: Box<RawValue>) {
        let mut list: Vec<Box<RawValue>> = match self.get(name) {
            // What was read once can be read again.
            Some(old) if old.get().starts_with('[') => serde_json::from_str(old.get()).unwrap_or_default(),
            Some(old) if old.get().starts_with(['"', '{']) => vec![old.to_owned()],
            _ => Vec::new(),
        };
        list.push(value);
        self.set(name, list_of(&list));
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

fn list_of(values: &[Box<RawValue>]) -> Box<RawValue> {
    // JSON values in a list are a JSON value.
    serde_json::value::to_raw_value(values).unwrap_or_else(|_| RawValue::NULL.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_repeated_goes_at_once() {
        let body = format!("{{{}\"a\":2}}", "\"a\":1,".repeat(500_000));
        let mut object = Object::parse(body.as_bytes()).unwrap();
        assert_eq!(object.remove("a").unwrap().get(), "2");
        assert_eq!((object.remove("a").is_none(), object.write()), (true, "{}".to_owned()));
    }
}
