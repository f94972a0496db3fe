//! What must hold for every input, one function a parser of outside text.
//!
//! Owns: the properties. Must not know: what drives them. `targets/` hands them to libFuzzer (`fuzz/run`, with
//! coverage, on stable Rust); the tests below replay the committed corpora, so that a crash which was once found and
//! added to `corpus/` stays fixed. A new target is a function here, a file in `targets/`, a `[[bin]]`, and a corpus.

mod admin;
mod auth;
mod cache;
mod framing;
mod pem;
mod replies;
mod router;
mod values;

pub use admin::admin_body;
pub use auth::{authorization, hmac, jwt};
pub use cache::{cache_control, cache_key};
pub use framing::framing;
pub use pem::pem;
pub use replies::{idp_reply, jwt_claims, vault_reply};
pub use router::router;
pub use values::{snapshot, subkey};

use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT, Type};
use postern_model::{List, Snapshot, Violation};
use postern_secrets::{Reference, Secret, Template};

/// The value of every variable in documents under test. It breaks YAML on purpose, and must be in no message.
const CANARY: &str = "c4n4ry: [*c4n4ry\n  !c4n4ry c4n4ry: {vault://c4n4ry";

/// The part of the canary that is looked for.
const CANARY_WORD: &str = "c4n4ry";

/// A reference: parsing ends, and what prints parses back to the same.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(reference) = Reference::parse(text) {
        let printed = reference.to_string();
        assert_eq!(Reference::parse(&printed).as_ref(), Ok(&reference), "{text:?} printed as {printed:?}");
    }
}

/// References inside other text: parsing ends, and what prints parses back to the same.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(template) = Template::parse(text) {
        let printed = template.to_string();
        assert_eq!(Template::parse(&printed).as_ref(), Ok(&template), "{text:?} printed as {printed:?}");
    }
}

/// decK's templates: text without one stays as it is, and no message quotes a value.
pub fn deck_env(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match postern_model::document::render(text, &environment) {
        Ok(rendered) if !text.contains("${{") => assert_eq!(rendered.text(), text),
        Ok(_) => {}
        Err(violations) => no_canary(text, &violations),
    }
}

/// A plugin that takes a value of every type.
const PLUGIN: &PluginSchema = &PluginSchema {
    name: "cors",
    priority: 1,
    version: "1.0.0",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer"],
    config: Schema {
        fields: &[
            Field::strings("origins").required().rules(&[Rule::LengthMin(1)]),
            Field::number("max_age").default_int(5).rules(&[Rule::Between(0.0, 60.0)]),
            Field::boolean("credentials").required().default_bool(false),
            Field::map("headers", &TEXT, &TEXT),
            Field::record("redis", &[Field::string("host").shorthands(&["redis_host"])]).required(),
            Field::new("any", Type::Any),
        ],
        checks: &[],
    },
    doc: "",
};

/// A whole document, from bytes to checked entities: it ends, it stays bounded, and no message quotes a value.
pub fn document(data: &[u8]) {
    let violations =
        match postern_model::read(data, &environment).map(|read| postern_model::check(read, &vec![PLUGIN])) {
            Ok(Ok(checked)) => {
                filled(&checked.snapshot);
                checked.warnings
            }
            Ok(Err(violations)) | Err(violations) => violations,
        };
    no_canary(&String::from_utf8_lossy(data), &violations);
}

/// What comes out of a vault and is wrong is not quoted either.
fn filled(snapshot: &Snapshot) {
    fn each<T: Clone>(entries: &List<T>) {
        for entry in entries {
            let values = vec![Secret::from(CANARY); entry.templates().len()];
            if let Err(said) = entry.fill(&values) {
                assert!(!said.contains(CANARY_WORD), "a value of a vault in a message: {said}");
            }
        }
    }
    each(&snapshot.services);
    each(&snapshot.routes);
    each(&snapshot.consumers);
    each(&snapshot.keyauth_credentials);
    each(&snapshot.plugins);
    each(&snapshot.upstreams);
    each(&snapshot.targets);
    each(&snapshot.certificates);
    each(&snapshot.snis);
    each(&snapshot.keys);
}

/// Variables whose name ends in a digit are numbers, those that end in `_` are not set.
fn environment(name: &str) -> Option<String> {
    match name.as_bytes().last()? {
        b'_' => None,
        b'0'..=b'9' => Some("8200".to_owned()),
        _ => Some(CANARY.to_owned()),
    }
}

fn no_canary(input: &str, violations: &[Violation]) {
    if !input.contains(CANARY_WORD) {
        let said = format!("{violations:?}");
        assert!(!said.contains(CANARY_WORD), "a value of the environment in a message: {said}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_committed_corpora_hold() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 18] = [
            ("admin_body", super::admin_body),
            ("jwt", super::jwt),
            ("hmac", super::hmac),
            ("authorization", super::authorization),
            ("cache_control", super::cache_control),
            ("cache_key", super::cache_key),
            ("reference", super::reference),
            ("template", super::template),
            ("deck_env", super::deck_env),
            ("document", super::document),
            ("vault_reply", super::vault_reply),
            ("jwt_claims", super::jwt_claims),
            ("idp_reply", super::idp_reply),
            ("pem", super::pem),
            ("subkey", super::subkey),
            ("snapshot", super::snapshot),
            ("router", super::router),
            ("framing", super::framing),
        ];
        for (name, target) in targets {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            let mut seeds = 0;
            for entry in std::fs::read_dir(&corpus).unwrap() {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                seeds += 1;
            }
            assert!(seeds >= 20, "{name} has {seeds} seeds");
        }
    }
}
