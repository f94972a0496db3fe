//! Which rules come into question for a host and a path, without asking all of them.
//!
//! Owns: the index. Must not know: the other conditions; whoever asks checks these. A host leads to a few trees of
//! paths: that of the very name, those of the wildcards that it fits, and that of rules without hosts. A walk down a
//! tree passes all rules with a prefix of the path. A regular expression is filed under the literals that a match
//! begins with. Nothing is kept of requests, so there is nothing that requests can fill.

use std::collections::HashMap;

use crate::facts::Request;
use crate::rule::{Name, Paths, Rule};
use crate::trie::Trie;

/// A rule with more hosts times paths than that is filed by host only.
const MAX_PLACES: usize = 4096;

/// Rules by host and path.
#[derive(Debug, Default)]
pub(crate) struct Index {
    exact: HashMap<Box<str>, ByPath>,
    /// Backwards.
    ends: Trie<ByPath>,
    beginnings: Trie<ByPath>,
    any: ByPath,
}

type ByPath = Trie<Vec<Candidate>>;

/// A rule in question.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Its place in the order, the lowest wins.
    place: u32,
    /// What must have been asked for, for this host.
    port: Option<u16>,
}

impl Index {
    /// From rules in their order.
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (place, rule) in (0..).zip(rules) {
            index.add(place, rule);
        }
        index
    }

    fn add(&mut self, place: u32, rule: &Rule) {
        let hosts = &rule.conditions.hosts;
        let keys = keys(&rule.paths, MAX_PLACES / hosts.len().max(1));
        if hosts.is_empty() {
            file(&mut self.any, &keys, Candidate { place, port: None });
        }
        for (name, port) in hosts {
            let paths = match name {
                Name::Exact(name) => self.exact.entry(name.clone()).or_default(),
                Name::EndsIn(end) => self.ends.entry(&end.bytes().rev().collect::<Vec<_>>()),
                Name::BeginsWith(start) => self.beginnings.entry(start.as_bytes()),
            };
            file(paths, &keys, Candidate { place, port: *port });
        }
    }

    /// The first rule in the order that is meant.
    pub(crate) fn first<'r>(&self, rules: &'r [Rule], request: &Request<'_>) -> Option<&'r Rule> {
        let mut search = Search { rules, request, best: None };
        if let Some(paths) = self.exact.get(request.host) {
            search.walk(paths);
        }
        // A wildcard stands for at least one character.
        self.ends.walk(request.host.bytes().rev(), |paths, left| {
            if left > 0 {
                search.walk(paths);
            }
        });
        self.beginnings.walk(request.host.bytes(), |paths, left| {
            if left > 0 {
                search.walk(paths);
            }
        });
        search.walk(&self.any);
        search.best.map(|place| &rules[place as usize])
    }
}

struct Search<'s, 'r> {
    rules: &'s [Rule],
    request: &'s Request<'r>,
    best: Option<u32>,
}

impl Search<'_, '_> {
    fn walk(&mut self, paths: &ByPath) {
        paths.walk(self.request.facts.path.bytes(), |candidates, _| self.look(candidates));
    }

    /// They are in order, so the first that is meant is the best of them.
    fn look(&mut self, candidates: &[Candidate]) {
        let best = self.best.unwrap_or(u32::MAX);
        let better = candidates.iter().take_while(|candidate| candidate.place < best);
        let meant =
            better.filter(|candidate| candidate.port.is_none_or(|port| port == self.request.facts.port));
        let found = meant.map(|candidate| candidate.place).find(|place| {
            // The rule checks its path again: it may be filed by host only, or by the beginning of an expression.
            self.rules[*place as usize].matches(self.request)
        });
        self.best = found.or(self.best);
    }
}

/// Beginnings of the paths that are meant: of each such path at least one. The empty one if there are too many.
fn keys(paths: &Paths, max: usize) -> Vec<&[u8]> {
    let mut keys: Vec<&[u8]> = match paths {
        Paths::Any => Vec::new(),
        Paths::Prefixes(prefixes) => prefixes.iter().map(|prefix| prefix.as_bytes()).collect(),
        Paths::Regexes(regexes) if regexes.iter().all(|regex| !regex.beginnings().is_empty()) => {
            regexes.iter().flat_map(|regex| regex.beginnings()).map(|beginning| &**beginning).collect()
        }
        Paths::Regexes(_) => Vec::new(),
    };
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() || keys.len() > max { vec![&[]] } else { keys }
}

fn file(paths: &mut ByPath, keys: &[&[u8]], candidate: Candidate) {
    for key in keys {
        paths.entry(key).push(candidate);
    }
}
