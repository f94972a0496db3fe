//! Values with `$(...)` in them: what a request holds, put into a text.
//!
//! Owns: the grammar, and what each expression means. Must not know: where a text goes. In Kong, what stands between
//! the parentheses is Lua. Here it is the part of it that Kong documents: `headers.name`, `query_params.name`,
//! `uri_captures.name`, `uri_captures[1]`, `shared.name`, each also as `headers["name"]`; texts in quotes; and `or`
//! between them. All else is refused when a configuration is checked. What is not there is an empty text.
//!
//! A literal `$(x)` is written `$('$(x)')`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::HeaderMap;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::view::Request;
use crate::view::args::{self, Found};

/// What begins and ends an expression or a text in it, and what stands in its place in a value that came from a vault: such a
/// value is never an expression, nor part of one.
const SYNTAX: [(char, char); 4] =
    [('$', '\u{10ff01}'), ('(', '\u{10ff02}'), ('\'', '\u{10ff03}'), ('"', '\u{10ff04}')];

/// A value that came from a vault, for its place in a template.
pub(crate) fn literal(value: &str) -> Cow<'_, str> {
    let stand_in = |c: char| SYNTAX.iter().find(|(syntax, _)| *syntax == c).map(|(_, stand_in)| *stand_in);
    match value.chars().any(|c| stand_in(c).is_some()) {
        false => Cow::Borrowed(value),
        true => Cow::Owned(value.chars().map(|c| stand_in(c).unwrap_or(c)).collect()),
    }
}

/// The text of a template with what was put into it by [`literal`] as it was.
pub(super) fn unquoted(text: &str) -> String {
    let syntax = |c: char| SYNTAX.iter().find(|(_, stand_in)| *stand_in == c).map(|(syntax, _)| *syntax);
    text.chars().map(|c| syntax(c).unwrap_or(c)).collect()
}

/// A text with expressions in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The first that is there.
    FirstOf(Vec<Term>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Text(String),
    Fact(Kind, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Header,
    Parameter,
    Capture,
    Shared,
}

const KINDS: [(&str, Kind); 4] = [
    ("headers", Kind::Header),
    ("query_params", Kind::Parameter),
    ("uri_captures", Kind::Capture),
    ("shared", Kind::Shared),
];

/// What expressions may ask for: a request as it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    headers: HeaderMap,
    query: Option<String>,
    captures: Vec<(String, String)>,
    shared: BTreeMap<String, String>,
}

impl Facts {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            headers: request.headers.clone(),
            query: request.query.clone(),
            captures: request.captures.clone(),
            shared: request.shared.clone(),
        }
    }

    fn find(&self, kind: Kind, name: &str) -> Option<Cow<'_, str>> {
        match kind {
            // As in Kong, `headers.x_a` is `X-A` too.
            Kind::Header => [name, &name.replace('_', "-")]
                .iter()
                .find_map(|name| self.headers.get(*name))
                .map(|value| String::from_utf8_lossy(value.as_bytes())),
            Kind::Parameter => match args::find(self.query.as_deref()?, name) {
                Found::Once(Some(value)) => Some(value),
                // A parameter without a value is the truth `true`.
                Found::Once(None) => Some("true".into()),
                Found::Often => args::pairs(self.query.as_deref()?)
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.unwrap_or("true".into())),
                Found::Nothing => None,
            },
            Kind::Capture => {
                let capture = self.captures.iter().find(|(known, _)| known == name);
                capture.map(|(_, value)| value.as_str().into())
            }
            Kind::Shared => self.shared.get(name).map(|value| value.as_str().into()),
        }
    }
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// What is not supported, or never ends.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$(") {
            if !before.is_empty() {
                pieces.push(Piece::Text(unquoted(before)));
            }
            let mut parser = Parser { rest: after };
            pieces.push(Piece::FirstOf(parser.terms()?));
            rest = parser.rest;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(unquoted(rest)));
        }
        Ok(Self(pieces))
    }

    /// Whether it says the same of every request.
    pub(super) fn is_constant(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// The text for a request.
    pub(super) fn render(&self, facts: &Facts) -> String {
        self.render_with(facts, |text| text)
    }

    /// The text for a request, as a path and perhaps a query. What a request put into it can begin no query.
    pub(super) fn render_path(&self, facts: &Facts) -> String {
        self.render_with(facts, |value| Cow::Owned(utf8_percent_encode(&value, WITHIN).to_string()))
    }

    fn render_with(&self, facts: &Facts, each: impl Fn(Cow<'_, str>) -> Cow<'_, str>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::FirstOf(terms) => {
                    let value = terms.iter().find_map(|term| match term {
                        Term::Text(text) => Some(Cow::Borrowed(text.as_str())),
                        Term::Fact(kind, name) => facts.find(*kind, name),
                    });
                    text.push_str(&each(value.unwrap_or_default()));
                }
            }
        }
        text
    }
}

/// What cannot stand in a path or a query as it is.
const NOT_IN_TARGETS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// Nor may what a request says begin a query.
const WITHIN: &AsciiSet = &NOT_IN_TARGETS.add(b'?');

/// A path or query in which every character may stand.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_TARGETS).to_string()
}

/// Reads what stands in `$(...)`.
struct Parser<'a> {
    rest: &'a str,
}

const UNSUPPORTED: &str = "not supported yet: in $(...), only headers, query_params, uri_captures and shared, texts in \
                           quotes, and `or` between them";

impl<'a> Parser<'a> {
    /// Terms with `or` between them, and the closing parenthesis.
    fn terms(&mut self) -> Result<Vec<Term>, String> {
        let mut terms = vec![self.term()?];
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(')') {
                self.rest = rest;
                return Ok(terms);
            }
            if self.name() != Some("or") {
                return Err(UNSUPPORTED.to_owned());
            }
            terms.push(self.term()?);
        }
    }

    fn term(&mut self) -> Result<Term, String> {
        self.rest = self.rest.trim_start();
        if let Some(text) = self.quoted()? {
            return Ok(Term::Text(text));
        }
        let root = self.name().ok_or(UNSUPPORTED)?;
        let (_, kind) = KINDS.iter().find(|(name, _)| *name == root).ok_or(UNSUPPORTED)?;
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            let name = self.name().ok_or(UNSUPPORTED)?;
            return Ok(Term::Fact(*kind, name.to_owned()));
        }
        self.rest = self.rest.strip_prefix('[').ok_or(UNSUPPORTED)?.trim_start();
        let name = match self.quoted()? {
            Some(name) => name,
            None => self.number().ok_or(UNSUPPORTED)?.to_owned(),
        };
        self.rest = self.rest.trim_start().strip_prefix(']').ok_or(UNSUPPORTED)?;
        Ok(Term::Fact(*kind, name))
    }

    /// A word of letters, digits and `_` that does not begin with a digit.
    fn name(&mut self) -> Option<&'a str> {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        self.take(is_part).filter(|word| !word.starts_with(|first: char| first.is_ascii_digit()))
    }

    fn number(&mut self) -> Option<&'a str> {
        self.take(|character| character.is_ascii_digit())
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word).filter(|word| !word.is_empty())
    }

    /// A text in quotes, without escapes.
    fn quoted(&mut self) -> Result<Option<String>, String> {
        let Some(quote) = self.rest.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
            return Ok(None);
        };
        let (text, rest) = self.rest[1..].split_once(quote).ok_or("a quote in $(...) does not end")?;
        if text.contains('\\') {
            return Err("not supported yet: \\ in texts of $(...)".to_owned());
        }
        self.rest = rest;
        Ok(Some(unquoted(text)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> Facts {
        let mut request =
            Request::for_test().to("/?a=1&b=x%20y&c&a=2").with("x-user", "ann").with("x-user", "bob");
        request.captures = vec![("1".to_owned(), "one".to_owned()), ("id".to_owned(), "a?b".to_owned())];
        request.shared.insert("k".to_owned(), "v".to_owned());
        Facts::of(&request)
    }

    #[test]
    fn what_a_template_says() {
        for (template, text) in [
            ("plain $ ( ) text", "plain $ ( ) text"),
            ("$(headers.x_user)", "ann"),
            ("$(headers['X-User'])", "ann"),
            ("<$( query_params.a )-$(query_params[\"b\"])-$(query_params.c)>", "<1-x y-true>"),
            ("$(uri_captures[1])/$(uri_captures.id)/$(uri_captures['id'])", "one/a?b/a?b"),
            ("$(shared.k)", "v"),
            ("[$(headers.none)]", "[]"),
            ("$(headers.none or query_params.none or 'other')", "other"),
            ("$(headers.x_user or 'other')", "ann"),
            ("$('$(x)')", "$(x)"),
            ("$(\")\")", ")"),
        ] {
            assert_eq!(
                Template::parse(template).map(|parsed| parsed.render(&facts())),
                Ok(text.to_owned()),
                "{template}"
            );
        }
        assert_eq!(Template::parse("/$(uri_captures.id)?x=1").unwrap().render_path(&facts()), "/a%3Fb?x=1");
    }

    #[test]
    fn a_value_from_a_vault_is_no_template() {
        for value in [
            "pa$(word",
            "$(headers.x_user)",
            "$",
            "(headers.x_user)",
            "') or headers['x_user",
            "a\"b",
            "plain",
        ] {
            for (before, after) in
                [("", ""), ("k ", " $(shared.k)"), ("$", ""), ("", "(shared.k)"), ("$('", "')")]
            {
                let text = [before, &literal(value), after].concat();
                let shown = Template::parse(&text).unwrap().render(&facts());
                let (before, after) = match before {
                    "$('" => ("", String::new()),
                    before => (before, after.replace("$(shared.k)", "v")),
                };
                assert_eq!(shown, format!("{before}{value}{after}"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for template in [
            "$()",
            "$(",
            "$(headers)",
            "$(headers.a",
            "$(headers.a .. 'x')",
            "$(headers.a and 'x')",
            "$(os.time())",
            "$(headers[a])",
            "$(headers.a.b)",
            "$('a)",
            "$('a\\n')",
            "$(type(headers.a))",
            "$(headers.a or)",
            "$(1)",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_said(before in "[^$]{0,9}", text in "[^'\\\\]{0,9}", after in "[^$]{0,9}") {
            let template = Template::parse(&format!("{before}$('{text}'){after}")).unwrap();
            prop_assert_eq!(template.render(&facts()), format!("{before}{text}{after}"));
        }

        #[test]
        fn nothing_makes_it_panic(text in r#"(\$\(|\)|\[|\]|'|"|\.|headers|or|é|1| ){0,20}"#) {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.render_path(&facts());
            }
        }
    }
}
