//! Policies by name, and the question they answer: may a token do this there?
//!
//! Owns the stored policies and the matching rules. Reading the text is `policy/parse.rs`. Must not know requests,
//! tokens or mounts: a path and an operation come in, capabilities go out.

mod parse;

use crate::clock::{Clock, rfc3339};
use parse::Rule;
pub(super) use parse::{Capabilities, Capability};
use std::collections::BTreeMap;

/// All policies. `root` is not among them: it allows everything and cannot be written.
#[derive(Debug)]
pub(super) struct Policies(BTreeMap<String, Policy>);

/// A policy as it was written, and what it says.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) text: String,
    pub(super) modified: String,
    pub(super) version: u64,
    rules: Vec<Rule>,
}

/// The `default` policy: what every token may do with itself.
const DEFAULT_POLICY: &str = r#"
# A token may look at itself, renew itself and give itself up.
path "auth/token/lookup-self" {
    capabilities = ["read"]
}
path "auth/token/renew-self" {
    capabilities = ["update"]
}
path "auth/token/revoke-self" {
    capabilities = ["update"]
}

# It may ask what it may do.
path "sys/capabilities-self" {
    capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
    capabilities = ["read"]
}

# It may renew and look up a lease whose id it knows.
path "sys/leases/renew" {
    capabilities = ["update"]
}
path "sys/leases/lookup" {
    capabilities = ["update"]
}

# Its own cubbyhole, response wrapping and the general tools: granted as in Vault, absent from the dev vault.
path "cubbyhole/*" {
    capabilities = ["create", "read", "update", "delete", "list"]
}
path "sys/wrapping/wrap" {
    capabilities = ["update"]
}
path "sys/wrapping/lookup" {
    capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
path "sys/tools/hash" {
    capabilities = ["update"]
}
path "sys/tools/hash/*" {
    capabilities = ["update"]
}
"#;

impl Policies {
    pub(super) fn with_default(clock: &Clock) -> Self {
        let mut policies = Self(BTreeMap::new());
        let written = policies.write("default", DEFAULT_POLICY, clock);
        debug_assert!(written.is_ok(), "{written:?}");
        policies
    }

    /// Parses and stores. Names are case-insensitive.
    pub(super) fn write(&mut self, name: &str, text: &str, clock: &Clock) -> Result<(), String> {
        let rules = parse::policy(text)?;
        let name = name.to_lowercase();
        let version = self.0.get(&name).map_or(0, |policy| policy.version) + 1;
        let modified = rfc3339(clock.wall());
        self.0.insert(name, Policy { text: text.to_owned(), modified, version, rules });
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Policy> {
        self.0.get(&name.to_lowercase())
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.0.remove(&name.to_lowercase());
    }

    /// The names, `root` included.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.keys().cloned().collect();
        names.push("root".to_owned());
        names.sort();
        names
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        name == "root" || self.get(name).is_some()
    }

    /// What these policies allow together. Unknown ones allow nothing.
    pub(super) fn acl(&self, names: &[String]) -> Acl {
        let mut rules: BTreeMap<String, Capabilities> = BTreeMap::new();
        for rule in names.iter().filter_map(|name| self.get(name)).flat_map(|policy| &policy.rules) {
            rules.entry(rule.path.clone()).or_default().unite(rule.capabilities);
        }
        Acl { root: names.iter().any(|name| name == "root"), rules: rules.into_iter().collect() }
    }
}

/// The union of some policies: each path pattern once, with all its capabilities.
#[derive(Debug)]
pub(super) struct Acl {
    root: bool,
    rules: Vec<(String, Capabilities)>,
}

impl Acl {
    /// Is this capability granted on this path?
    pub(super) fn allows(&self, path: &str, capability: Capability) -> bool {
        self.root
            || self.at(path, capability == Capability::List).is_some_and(|granted| granted.has(capability))
    }

    /// The names of what is granted on this path, as `sys/capabilities` lists them.
    pub(super) fn names_at(&self, path: &str) -> Vec<&'static str> {
        if self.root {
            return vec!["root"];
        }
        let names = self.at(path, false).map(Capabilities::names).unwrap_or_default();
        if names.is_empty() { vec!["deny"] } else { names }
    }

    /// Does any rule that grants something reach below this mount (`secret/`)?
    pub(super) fn reaches(&self, mount: &str) -> bool {
        let reaches = |pattern: &str| {
            let literal = &pattern[..pattern.find(['+', '*']).unwrap_or(pattern.len())];
            literal.starts_with(mount) || (literal.len() < pattern.len() && mount.starts_with(literal))
        };
        self.root || self.rules.iter().any(|(pattern, granted)| !granted.denied() && reaches(pattern))
    }

    /// The capabilities of the one pattern that decides for this path. A list of a folder, whose path ends in `/`,
    /// may also be granted by the folder's name without it.
    fn at(&self, path: &str, listing: bool) -> Option<Capabilities> {
        let exact = |path: &str| self.rules.iter().find(|(pattern, _)| !is_wild(pattern) && pattern == path);
        let trimmed = || path.strip_suffix('/').filter(|_| listing).and_then(exact);
        if let Some((_, granted)) = exact(path).or_else(trimmed) {
            return Some(*granted);
        }
        let matching = self.rules.iter().filter(|(pattern, _)| is_wild(pattern) && matches(pattern, path));
        matching.max_by(|(a, _), (b, _)| rank(a).cmp(&rank(b))).map(|(_, granted)| *granted)
    }
}

/// Has a trailing `*` or a segment that is `+`.
fn is_wild(pattern: &str) -> bool {
    pattern.ends_with('*') || pattern.split('/').any(|segment| segment == "+")
}

/// Vault's order of patterns, the most specific last: the first wildcard stands later; no trailing `*`; fewer `+`
/// segments; longer; later in the alphabet.
fn rank(pattern: &str) -> (usize, bool, std::cmp::Reverse<usize>, usize, &str) {
    let literal = pattern.strip_suffix('*');
    let text = literal.unwrap_or(pattern);
    let mut first = text.len();
    let mut plus = 0;
    let mut start = 0;
    for segment in text.split('/') {
        if segment == "+" {
            plus += 1;
            first = first.min(start);
        }
        start += segment.len() + 1;
    }
    (first, literal.is_none(), std::cmp::Reverse(plus), text.len(), text)
}

/// Does a pattern with wildcards match this path?
fn matches(pattern: &str, path: &str) -> bool {
    let (text, prefix) = match pattern.strip_suffix('*') {
        Some(text) => (text, true),
        None => (pattern, false),
    };
    let wanted: Vec<&str> = text.split('/').collect();
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() < wanted.len() || (!prefix && segments.len() > wanted.len()) {
        return false;
    }
    let last = wanted.len() - 1;
    wanted.iter().zip(&segments).enumerate().all(|(index, (wanted, segment))| {
        *wanted == "+" || wanted == segment || (prefix && index == last && segment.starts_with(wanted))
    })
}

#[cfg(test)]
mod tests;
