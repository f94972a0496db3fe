//! Environment variables. Owns: how a resource becomes a variable's name. Must not know: the process environment
//! of anyone else; whoever starts the process hands in a snapshot, so these secrets cannot rotate.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::nearest::nearest;
use crate::reference::Version;
use crate::vault::{Read, Reading, Vault, VaultError};
use postern_secret::Secret;

/// A snapshot of environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, Secret>);

impl Env {
    /// The variables as they are now. Those that are not UTF-8 are left out by the caller.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name, Secret::from(value))).collect())
    }

    /// The variable of exactly this name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }
}

#[async_trait]
impl Vault for Env {
    async fn read(&self, request: &Read<'_>) -> Result<Reading, VaultError> {
        let mut step = request.trail.step("read the environment");
        let prefix = request.settings.text("prefix");
        let name = variable(prefix.as_ref().map_or("", Secret::expose), request.resource, request.version);
        step.fact("variable", &name);
        step.done(self.get(&name).cloned().map(Reading::from).ok_or_else(|| {
            let near = nearest(&name, self.0.keys().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            VaultError::Absent {
                message: None,
                hint: Some(format!("the environment variable {name} is not set{near}")),
            }
        }))
    }
}

/// `PREFIXRESOURCE` in upper case with underscores for dashes. Version 2 means the previous value.
fn variable(prefix: &str, resource: &str, version: Option<Version>) -> String {
    let mut name = format!("{prefix}{resource}").replace('-', "_").to_ascii_uppercase();
    if version.and_then(Version::as_integer) == Some(2) {
        name.push_str("_PREVIOUS");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kongs_rules() {
        let cases = [
            ("", "secrets-test", None, "SECRETS_TEST"),
            ("test-", "env", None, "TEST_ENV"),
            ("SECRETS_", "test", None, "SECRETS_TEST"),
            ("", "a/b.c", None, "A/B.C"),
            ("", "ünï", None, "üNï"),
            ("", "x", Some(2), "X_PREVIOUS"),
            ("", "x", Some(1), "X"),
            ("", "x", Some(3), "X"),
        ];
        for (prefix, resource, version, expected) in cases {
            assert_eq!(variable(prefix, resource, version.map(Version::from)), expected);
        }
    }
}
