//! A text that may hold references: a whole one, several, or none (`Bearer {vault://a/b/c}`).
//!
//! Owns: where references begin and end inside other text. Must not know: how they are resolved. Data goes on to
//! `resolve`, which fills each [`Part::Reference`] in.
//!
//! Kong takes a text for a reference only when it is nothing else, and keeps `Bearer {vault://..}` as it is. Here
//! a reference stands from `{vault://` to the next `}`, wherever that is, so a literal `}` inside one is written
//! `%7D` (docs/decisions/0004).

use std::fmt::{self, Display, Formatter};

use crate::reference::{OPENING, Reference, ReferenceError};

/// A text, cut into what is literal and what is referred to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Vec<Part>,
}

/// One piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Text that stands for itself; never empty.
    Literal(String),
    /// A reference to be filled in.
    Reference(Reference),
}

impl Template {
    /// Whether the text holds the start of a reference; cheap, for texts that mostly do not.
    pub fn has_reference(text: &str) -> bool {
        text.contains(OPENING)
    }

    /// Cuts a text up. The first reference that is malformed, or has no end, is the error.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find(OPENING) {
            let (literal, from) = rest.split_at(start);
            let end = from.find('}').ok_or_else(|| ReferenceError::NotAReference(from.to_owned()))?;
            let (reference, after) = from.split_at(end + 1);
            push_literal(&mut parts, literal);
            parts.push(Part::Reference(Reference::parse(reference)?));
            rest = after;
        }
        push_literal(&mut parts, rest);
        Ok(Self { parts })
    }

    /// Several texts as one, with a separator between them and on both sides of each reference.
    #[cfg(feature = "backends")]
    pub(crate) fn joined(texts: &[&Self], separator: &str) -> Self {
        let mut parts = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                push_literal(&mut parts, separator);
            }
            for part in &text.parts {
                match part {
                    Part::Literal(text) => push_literal(&mut parts, text),
                    Part::Reference(_) => {
                        push_literal(&mut parts, separator);
                        parts.push(part.clone());
                        push_literal(&mut parts, separator);
                    }
                }
            }
        }
        Self { parts }
    }

    /// The pieces in their order; none for the empty text.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The references in their order, repeated ones repeated.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Literal(_) => None,
        })
    }

    /// The text with stars for everything but the references, for fields that hold credentials.
    pub fn starred(&self) -> String {
        let shown = self.parts.iter().map(|part| match part {
            Part::Literal(_) => "***".to_owned(),
            Part::Reference(reference) => reference.to_string(),
        });
        shown.collect()
    }

    /// The reference, where the text is one and nothing else.
    pub fn as_reference(&self) -> Option<&Reference> {
        match self.parts.as_slice() {
            [Part::Reference(reference)] => Some(reference),
            _ => None,
        }
    }

    /// The text, where it holds no reference.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

impl Display for Template {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Reference(reference) => write!(f, "{reference}"),
        })
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(text: &str) -> Vec<String> {
        let template = Template::parse(text).unwrap();
        let shown = template.parts().iter().map(|part| match part {
            Part::Literal(text) => format!("literal {text}"),
            Part::Reference(r) => format!("{}:{}:{}", r.name(), r.resource(), r.key().unwrap_or("-")),
        });
        shown.collect()
    }

    #[test]
    fn finds_references_inside_text() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("plain {text}", &["literal plain {text}"]),
            ("{vault://a/b}", &["a:b:-"]),
            ("Bearer {vault://a/b/c}", &["literal Bearer ", "a:b:c"]),
            ("{vault://a/b}:{vault://a/c}", &["a:b:-", "literal :", "a:c:-"]),
            ("{vault://a/b}{vault://a/c}", &["a:b:-", "a:c:-"]),
            ("x{vault://a/b}y", &["literal x", "a:b:-", "literal y"]),
            ("{{vault://a/b}}", &["literal {", "a:b:-", "literal }"]),
            ("{vault:/a/b}", &["literal {vault:/a/b}"]),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text), *expected, "{text}");
        }
    }

    #[test]
    fn refuses_malformed_references_inside_text() {
        for text in ["a {vault://env} b", "a {vault://env/x", "{vault://a/b} {vault:///c}"] {
            Template::parse(text).expect_err(text);
        }
        let error = Template::parse("key={vault://env/} ").unwrap_err();
        assert_eq!(error.to_string(), "reference url has empty path [{vault://env/}]");
    }

    proptest! {
        #[test]
        fn printing_then_parsing_is_the_identity(text in "([a-z }{]|\\{vault://[a-z]{1,3}/[a-z/%+ ]{1,6}[#?]?[0-9]?\\}){0,6}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
            }
        }

        #[test]
        fn text_without_a_reference_is_itself(text in "[^{]{0,30}") {
            let template = Template::parse(&text).unwrap();
            prop_assert_eq!(template.as_literal(), Some(text.as_str()));
        }
    }
}
