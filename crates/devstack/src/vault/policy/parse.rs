//! Reads a policy: `path "..." { capabilities = [...] }` in HCL or JSON.
//!
//! Owns the subset of the language that policies use, and says line and column of a mistake. What a rule means for
//! a request is decided in `policy.rs`. A condition that the dev vault does not enforce is refused rather than
//! ignored: a policy must not become wider here than it is in Vault.

mod hcl;

use hcl::{Block, Node};

/// One thing a token may do on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vault) enum Capability {
    Deny = 1,
    Create = 1 << 1,
    Read = 1 << 2,
    Update = 1 << 3,
    Delete = 1 << 4,
    List = 1 << 5,
    Sudo = 1 << 6,
    Patch = 1 << 7,
    Scan = 1 << 8,
}

/// In the order in which Vault lists them.
const NAMES: [(&str, Capability); 9] = [
    ("create", Capability::Create),
    ("delete", Capability::Delete),
    ("deny", Capability::Deny),
    ("list", Capability::List),
    ("patch", Capability::Patch),
    ("read", Capability::Read),
    ("scan", Capability::Scan),
    ("sudo", Capability::Sudo),
    ("update", Capability::Update),
];

/// A set of capabilities. One `deny` leaves nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::vault) struct Capabilities(u16);

impl Capabilities {
    pub(in crate::vault) fn has(self, capability: Capability) -> bool {
        !self.denied() && self.0 & capability as u16 != 0
    }

    pub(in crate::vault) fn denied(self) -> bool {
        self.0 == 0 || self.0 & Capability::Deny as u16 != 0
    }

    pub(in crate::vault) fn names(self) -> Vec<&'static str> {
        let wanted = |capability: Capability| self.0 & capability as u16 != 0;
        if self.denied() {
            return vec!["deny"];
        }
        NAMES.iter().filter(|(_, capability)| wanted(*capability)).map(|(name, _)| *name).collect()
    }

    pub(in crate::vault) fn unite(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn add(&mut self, capability: Capability) {
        self.0 |= capability as u16;
    }
}

/// A path pattern with its capabilities.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) path: String,
    pub(super) capabilities: Capabilities,
}

/// Conditions of Vault and OpenBao that are not enforced here.
const NOT_ENFORCED: [&str; 9] = [
    "allowed_parameters",
    "denied_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
    "control_group",
    "expiration",
    "pagination_limit",
    "list_scan_response_keys_filter_path",
];

/// The rules of a policy, or what is wrong with it in Vault's words.
pub(super) fn policy(text: &str) -> Result<Vec<Rule>, String> {
    let failed = |error: String| format!("failed to parse policy: {error}");
    let document = hcl::parse(text).map_err(failed)?;
    let mut rules = Vec::new();
    for entry in document {
        match entry.key.as_str() {
            "name" => {}
            "path" => rules.extend(paths(&entry).map_err(failed)?),
            key => return Err(failed(invalid_key(key, entry.line))),
        }
    }
    Ok(rules)
}

/// `path "a" {...}`, `path = {"a" = {...}}`, and in JSON also a list of the latter.
fn paths(entry: &Block) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    match (&entry.labels[..], &entry.value) {
        ([path], Node::Object(members)) => rules.push(rule(path, members)?),
        ([], Node::Object(members)) => {
            for member in members {
                let Node::Object(body) = &member.value else {
                    return Err(format!("path \"{}\": expected an object", member.key));
                };
                rules.push(rule(&member.key, body)?);
            }
        }
        ([], Node::List(items)) => {
            for item in items {
                let one = Block { value: item.clone(), ..entry.clone() };
                rules.extend(paths(&one)?);
            }
        }
        _ => return Err(format!("line {}: expected path \"...\" {{ ... }}", entry.line)),
    }
    Ok(rules)
}

fn rule(path: &str, members: &[Block]) -> Result<Rule, String> {
    let failed = |error: String| format!("path \"{path}\": {error}");
    if path.contains("+*") {
        return Err(failed(format!("path \"{path}\": invalid use of wildcards ('+*' is forbidden)")));
    }
    let mut capabilities = Capabilities::default();
    for member in members {
        match member.key.as_str() {
            "capabilities" => {
                for name in
                    strings(&member.value).ok_or_else(|| failed("capabilities must be a list".to_owned()))?
                {
                    let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                    let invalid = || failed(format!("path \"{path}\": invalid capability \"{name}\""));
                    capabilities.add(known.ok_or_else(invalid)?.1);
                }
            }
            "policy" => capabilities.unite(shorthand(&member.value).map_err(failed)?),
            "comment" => {}
            key if NOT_ENFORCED.contains(&key) => {
                return Err(failed(format!(
                    "the dev vault does not enforce \"{key}\", so it refuses the policy"
                )));
            }
            key => return Err(failed(invalid_key(key, member.line))),
        }
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    Ok(Rule { path: path.to_owned(), capabilities })
}

/// The old `policy = "read"` form.
fn shorthand(value: &Node) -> Result<Capabilities, String> {
    use Capability::{Create, Delete, Deny, List, Patch, Read, Sudo, Update};
    let Node::Text(name) = value else { return Err("policy must be a string".to_owned()) };
    let granted: &[Capability] = match name.as_str() {
        "deny" => &[Deny],
        "read" => &[Read, List],
        "write" => &[Create, Read, Update, Delete, List, Patch],
        "sudo" => &[Create, Read, Update, Delete, List, Patch, Sudo],
        _ => return Err(format!("invalid policy \"{name}\"")),
    };
    let mut capabilities = Capabilities::default();
    granted.iter().for_each(|capability| capabilities.add(*capability));
    Ok(capabilities)
}

fn strings(value: &Node) -> Option<Vec<&str>> {
    let Node::List(items) = value else { return None };
    items.iter().map(|item| if let Node::Text(text) = item { Some(text.as_str()) } else { None }).collect()
}

fn invalid_key(key: &str, line: usize) -> String {
    format!("1 error occurred:\n\t* invalid key \"{key}\" on line {line}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_that_policies_come_in() {
        let table = [
            r#"path "secret/*" { capabilities = ["read", "list"] }"#,
            "path \"secret/*\" {\n  capabilities = [\n    \"read\", # why\n    \"list\", // trailing comma\n  ]\n}\n",
            "/* a\n comment */ path \"secret/*\" { capabilities = [\"READ\",\"list\"] }",
            r#"path "/secret/*" { policy = "read" }"#,
            r#"name = "x" path "secret/*" { comment = "y" capabilities = ["list", "read"] }"#,
            r#"path = { "secret/*" = { capabilities = ["list", "read"] } }"#,
            r#""path" "secret/*" { "capabilities" = ["list", "read"] }"#,
            r#"{"path": {"secret/*": {"capabilities": ["read", "list"]}}}"#,
            r#" {"path": [{"secret/*": {"capabilities": ["read", "list"]}}], "name": "x"}"#,
        ];
        for text in table {
            let rules = policy(text).expect(text);
            assert_eq!(rules.len(), 1, "{text}");
            assert_eq!(rules[0].path, "secret/*", "{text}");
            assert_eq!(rules[0].capabilities.names(), ["list", "read"], "{text}");
        }
        assert_eq!(policy("# nothing\n").map(|rules| rules.len()), Ok(0));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        let table = [
            (r#"path "a" { capabilities=["reed"] }"#, r#"path "a": path "a": invalid capability "reed""#),
            (r#"path "a" { capabilities=["read" }"#, "1:33: error parsing list, expected comma or list end"),
            (r#"pth "a" { capabilities=["read"] }"#, r#"invalid key "pth""#),
            (r#"path "a" { capabilitis=["read"] }"#, r#"invalid key "capabilitis" on line 1"#),
            (r#"path "a" { capabilities="read" }"#, "must be a list"),
            (r#"path "a" { capabilities=["read"] "#, "expected"),
            (r#"path "a { capabilities=["read"] }"#, "1:"),
            (r#"path { capabilities=["read"] }"#, "expected an object"),
            (r#"path "a+*" { capabilities=["read"] }"#, ""),
            (r#"path "a/+*" { capabilities=["read"] }"#, "forbidden"),
            (r#"path "a" { denied_parameters={"x"=[]} capabilities=["read"] }"#, "does not enforce"),
            (r#"{"path": {"a": {"capabilities": ["read"]}}"#, ""),
            ("path", ""),
            ("=", ""),
            ("\"", ""),
            ("/*", ""),
        ];
        for (text, part) in table {
            let error = policy(text).map(|rules| format!("{rules:?}")).expect_err(text);
            assert!(error.contains(part) && error.starts_with("failed to parse policy: "), "{text}: {error}");
        }
    }
}
