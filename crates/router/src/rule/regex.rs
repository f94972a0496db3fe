//! Regular expressions: the dialect of the crate `regex`, as in Kong's own engine. Matching takes linear time.
//!
//! Owns: how they are compiled, and with what they must begin. Must not know: what is matched. Unlike Kong, a path's
//! expression is anchored as a whole: `~/a|/b` does not match `/x/b`.

use regex_automata::meta::{self, BuildError};
#[cfg(feature = "expressions")]
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, PatternID};
use regex_syntax::hir::literal::Extractor;

use crate::facts::Captures;
use crate::path::is_plain;

/// More literal beginnings are not worth their place in the index.
const MAX_BEGINNINGS: usize = 64;

/// What all expressions of one route may take together, compiled, in bytes: as much as one may take of itself, so that no
/// number of routes comes to more than each of them was allowed.
const MAX_TOGETHER: usize = 10 * 1024 * 1024;

/// What is left for the expressions of a route.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_TOGETHER)
    }
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or("the regular expressions of a route are too big together")?;
        Ok(())
    }

    /// For an expression that another engine compiles. What it cannot read is for that one to refuse.
    #[cfg(feature = "expressions")]
    pub(crate) fn foresee(&mut self, pattern: &str) -> Result<(), String> {
        let Ok(hir) = regex_syntax::parse(pattern) else { return Ok(()) };
        let config = thompson::Config::new().nfa_size_limit(Some(self.0));
        match thompson::Compiler::new().configure(config).build_from_hir(&hir) {
            Ok(nfa) => self.take(nfa.memory_usage()),
            Err(_) => self.take(usize::MAX),
        }
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Regex {
    regex: meta::Regex,
    anchored: Anchored,
    /// What a path begins with in its one form if it matches; empty if that cannot be said.
    beginnings: Vec<Box<[u8]>>,
}

impl Regex {
    /// One that matches from the beginning on.
    pub(crate) fn anchored(pattern: &str, budget: &mut Budget) -> Result<Self, String> {
        Self::compile(pattern, Anchored::Yes, false, budget)
    }

    /// One that matches anywhere, in upper and lower case. Kong turns pattern and value into lower case, which breaks
    /// `\D`; here it keeps its meaning.
    pub(crate) fn ignoring_case(pattern: &str, budget: &mut Budget) -> Result<Self, String> {
        Self::compile(pattern, Anchored::No, true, budget)
    }

    fn compile(
        pattern: &str,
        anchored: Anchored,
        ignore_case: bool,
        budget: &mut Budget,
    ) -> Result<Self, String> {
        let config = syntax::Config::new().case_insensitive(ignore_case);
        // Only the kind of the error: its text quotes the pattern, which may come out of a vault.
        let hir = syntax::parse_with(pattern, &config).map_err(|error| match error {
            regex_syntax::Error::Parse(error) => {
                format!(
                    "no regular expression: {}, at character {}",
                    error.kind(),
                    error.span().start.offset + 1
                )
            }
            regex_syntax::Error::Translate(error) => format!("no regular expression: {}", error.kind()),
            _ => "no regular expression".to_owned(),
        })?;
        // Paths and header values are short. Lazily built automata would not pay, and would take memory for each route.
        let config = meta::Config::new().hybrid(false);
        let regex =
            meta::Builder::new().configure(config).build_from_hir(&hir).map_err(|error| too_big(&error))?;
        budget.take(regex.memory_usage())?;
        let beginnings = match anchored {
            Anchored::Yes => beginnings(&hir),
            _ => Vec::new(),
        };
        Ok(Self { regex, anchored, beginnings })
    }

    /// See the field.
    pub(crate) fn beginnings(&self) -> &[Box<[u8]>] {
        &self.beginnings
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(self.input(text))
    }

    /// Where the match ends, and what the groups take, if there are groups.
    pub(crate) fn take(&self, text: &str) -> Option<(usize, Captures)> {
        if self.regex.captures_len() < 2 {
            return Some((self.regex.find(self.input(text))?.end(), Captures::default()));
        }
        let mut captures = self.regex.create_captures();
        self.regex.captures(self.input(text), &mut captures);
        let len = captures.get_match()?.end();
        let names = captures.group_info().pattern_names(PatternID::ZERO);
        let groups = names.zip(captures.iter()).map(|(name, span)| {
            (name.map(Into::into), span.and_then(|span| text.get(span.range())).map(Into::into))
        });
        Some((len, Captures::new(groups.collect())))
    }

    fn input<'t>(&self, text: &'t str) -> Input<'t> {
        Input::new(text).anchored(self.anchored)
    }
}

fn too_big(error: &BuildError) -> String {
    match error.size_limit() {
        Some(limit) => format!("the regular expression is too big: compiled it has more than {limit} bytes"),
        None => "no regular expression that can be compiled".to_owned(),
    }
}

/// The literals with one of which each match begins, as far as they look the same in a path's one form.
fn beginnings(hir: &regex_syntax::hir::Hir) -> Vec<Box<[u8]>> {
    let found = Extractor::new().extract(hir);
    let Some(literals) = found.literals().filter(|literals| literals.len() <= MAX_BEGINNINGS) else {
        return Vec::new();
    };
    let mut beginnings: Vec<Box<[u8]>> = Vec::new();
    for literal in literals {
        let plain = literal.as_bytes().iter().take_while(|byte| is_plain(**byte));
        beginnings.push(plain.copied().collect());
    }
    beginnings.sort_unstable();
    beginnings.dedup();
    beginnings
}
