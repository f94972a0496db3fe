//! The router: routes compiled once, asked for each request.
//!
//! Owns: which flavours there are, and how a request goes through one. Must not know: what a rule means (`rule.rs`).

use postern_model::entity::Route;

#[cfg(feature = "expressions")]
use crate::expression::Expressions;
use crate::facts::{Facts, Match, Request};
use crate::index::Index;
use crate::rule::{self, Rule};

/// Kong's `router_flavor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// Routes with `hosts`, `paths` and so on.
    #[default]
    TraditionalCompatible,
    /// Routes with an `expression`, and after all of them those without.
    Expressions,
}

/// The routes of a configuration, ready for requests. Routes of TCP, TLS and UDP are left out.
#[derive(Debug)]
pub struct Router {
    #[cfg(feature = "expressions")]
    expressions: Expressions,
    /// In the order in which they win.
    rules: Vec<Rule>,
    index: Index,
}

/// The node, and not the route, decides how routes are written.
const OTHER_FLAVOUR: &str =
    "expression: needs the setting router_flavor = expressions; this node has traditional_compatible";

impl Router {
    /// From routes, each with a number of the caller's, in the order of their creation: where nothing else decides, the
    /// earlier wins.
    ///
    /// # Errors
    /// The number of each route that cannot be compiled, and why. No value is quoted.
    pub fn new<'r>(
        routes: impl IntoIterator<Item = (usize, &'r Route)>,
        flavour: Flavour,
    ) -> Result<Self, Vec<(usize, String)>> {
        let mut rules = Vec::new();
        let mut wrong = Vec::new();
        #[cfg(feature = "expressions")]
        let mut expressions = Expressions::default();
        for (number, route) in routes {
            let compiled = match (&route.expression, flavour) {
                (None, _) => rule::compile(number, route, flavour == Flavour::Expressions)
                    .map(|compiled| rules.extend(compiled)),
                (Some(_), Flavour::TraditionalCompatible) => Err(OTHER_FLAVOUR.to_owned()),
                #[cfg(feature = "expressions")]
                (Some(expression), Flavour::Expressions) => expressions.add(number, route, expression),
                #[cfg(not(feature = "expressions"))]
                (Some(_), Flavour::Expressions) => Err("built without the feature `expressions`".to_owned()),
            };
            wrong.extend(compiled.err().map(|reason| (number, reason)));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        rule::sort(&mut rules);
        let index = Index::new(&rules);
        Ok(Self {
            #[cfg(feature = "expressions")]
            expressions,
            rules,
            index,
        })
    }

    /// The route that a request is for. The cost grows with the length of the path, and with the number of routes that
    /// share a host and path, or the literal beginning of a regular expression; not with the number of routes.
    /// Expressions, however, are tried one after the other, as in Kong.
    pub fn find(&self, facts: &Facts<'_>) -> Option<Match> {
        let request = Request::new(facts);
        #[cfg(feature = "expressions")]
        if let Some(found) = self.expressions.find(&request) {
            return Some(found);
        }
        self.index.first(&self.rules, &request).map(|rule| rule.found(&request))
    }
}
