//! Kinds of entities as a client of any gateway sees them.
//!
//! Owns: where one is written, and what tells an entity from others of its kind. What a kind is like is in the table of
//! [`postern_model::Kind`]; a gateway may have fields that are not in there: where it shows a schema, that counts too. Must
//! not know: the network, plugins.
//!
//! The order of the table is that of the writes: each kind after those that it refers to, and deletes go the other way. It
//! is decK's order, so that a gateway sees from us what it sees from decK.

use postern_model::Kind;
use serde_json::{Map, Value as Json};

/// The fields of an entity, as they go over the wire.
pub type Body = Map<String, Json>;

/// Where an entity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `/services/<id>`.
    Top(&'static str),
    /// `/consumers/<id of the consumer>/key-auth/<id>`: the path of the owner, the field that names it, the rest.
    Under(&'static str, &'static str, &'static str),
    /// A member of a group: POST to the list, and no updates.
    Member,
}

/// Where entities of a kind are written.
pub fn place(kind: Kind) -> Place {
    let owner = kind.owner().and_then(|owner| Some((Kind::known_as(owner.to)?.path()?, owner.field)));
    match (owner, kind.path()) {
        (Some((path, field)), _) => Place::Under(path, field, kind.nested()),
        (None, Some(path)) => Place::Top(path),
        (None, None) => Place::Member,
    }
}

/// The field by which others refer to it in files, besides its identifier.
pub fn named_by(kind: Kind) -> Option<&'static str> {
    match kind.known_by().first() {
        Some([one]) if is_name(kind, one) => Some(one),
        _ => None,
    }
}

/// What an entity goes by among people and in files: its name, or what stands for it.
pub fn name_of(kind: Kind, body: &Body) -> Option<&str> {
    let name = |fields: &[&str]| match fields {
        [field] if is_name(kind, field) => body.get(*field)?.as_str().filter(|name| !name.is_empty()),
        _ => None,
    };
    kind.known_by().into_iter().find_map(name)
}

/// Whether a field can be shown as the name of an entity: credentials and certificates cannot.
fn is_name(kind: Kind, field: &str) -> bool {
    !kind.is_secret(field) && field != "cert"
}

/// All that tells an entity from others of its kind, as texts that are alike only where it is the same.
pub fn identities(kind: Kind, body: &Body) -> Vec<String> {
    let of = |(index, fields): (usize, &[&str])| {
        let values: Vec<Json> = fields.iter().map(|field| identifying(kind, field, body)).collect();
        // A plugin for everybody is known by having no scope; all others are known by what they have.
        let is_known = match kind.collection() {
            "plugins" => !values[0].is_null(),
            "filter_chains" => values.iter().any(|value| !value.is_null()),
            _ => values.iter().all(|value| !value.is_null()),
        };
        is_known.then(|| format!("{index}:{}", Json::from(values)))
    };
    kind.known_by().into_iter().enumerate().filter_map(of).collect()
}

fn identifying(kind: Kind, field: &str, body: &Body) -> Json {
    let value = body.get(field).unwrap_or(&Json::Null);
    match value {
        _ if kind.reference(field).is_some() => value.get("id").cloned().unwrap_or_default(),
        Json::String(text) if field == "target" => super::target::canonical(text).into(),
        Json::String(text) if matches!(field, "cert" | "key") => text.trim_end().into(),
        other => other.clone(),
    }
}

/// The identifier that a field names.
pub fn referred<'a>(body: &'a Body, field: &str) -> Option<&'a str> {
    body.get(field)?.get("id")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_comes_after_those_that_it_refers_to() {
        for kind in Kind::known() {
            for refers in kind.refers() {
                let to = Kind::known_as(refers.to).unwrap();
                assert!(to.rank() < kind.rank(), "{} refers to {}", kind.deck_name(), to.deck_name());
            }
        }
    }

    #[test]
    fn identities_tell_scopes_apart() {
        let of =
            |kind: &str, json: Json| identities(Kind::known_as(kind).unwrap(), json.as_object().unwrap());
        let plugin = |json: Json| of("plugins", json);
        let global = plugin(serde_json::json!({ "name": "cors", "service": null }));
        assert_eq!(global, plugin(serde_json::json!({ "name": "cors" })));
        let scoped = plugin(serde_json::json!({ "name": "cors", "service": { "id": "s", "name": "x" } }));
        assert_ne!(global, scoped);
        let consumer = serde_json::json!({ "custom_id": "7", "username": null });
        assert_eq!(of("consumers", consumer), ["1:[\"7\"]"]);
    }

    /// What decK knows each kind by, and where it writes it, said once more: the table serves others, too.
    #[test]
    fn as_deck_has_them() {
        let under = |path| Place::Under("consumers", "consumer", path);
        let expected: &[(&str, Place, &[&[&str]])] = &[
            ("certificate", Place::Top("certificates"), &[&["cert", "key"]]),
            ("ca-certificate", Place::Top("ca_certificates"), &[&["cert"]]),
            ("consumer", Place::Top("consumers"), &[&["username"], &["custom_id"]]),
            ("vault", Place::Top("vaults"), &[&["prefix"]]),
            ("partial", Place::Top("partials"), &[&["name"]]),
            ("key-set", Place::Top("key-sets"), &[&["name"]]),
            ("consumer-group", Place::Top("consumer_groups"), &[&["name"]]),
            ("sni", Place::Top("snis"), &[&["name"]]),
            ("service", Place::Top("services"), &[&["name"]]),
            ("upstream", Place::Top("upstreams"), &[&["name"]]),
            ("key", Place::Top("keys"), &[&["name"]]),
            ("key-auth", under("key-auth"), &[&["key"]]),
            ("hmac-auth", under("hmac-auth"), &[&["username"]]),
            ("jwt-auth", under("jwt"), &[&["key"]]),
            ("basic-auth", under("basic-auth"), &[&["username"]]),
            ("oauth2-cred", under("oauth2"), &[&["client_id"]]),
            ("acl-group", under("acls"), &[&["consumer", "group"]]),
            (
                "mtls-auth",
                under("mtls-auth"),
                &[&["consumer", "subject_name", "ca_certificate"], &["consumer", "subject_name"]],
            ),
            ("route", Place::Top("routes"), &[&["name"]]),
            ("target", Place::Under("upstreams", "upstream", "targets"), &[&["upstream", "target"]]),
            ("consumer-group-consumer", Place::Member, &[&["consumer_group", "consumer"]]),
            ("plugin", Place::Top("plugins"), &[&["name", "route", "service", "consumer", "consumer_group"]]),
            ("filter-chain", Place::Top("filter-chains"), &[&["service", "route"]]),
        ];
        let kinds: Vec<_> = Kind::known().collect();
        assert_eq!(kinds.len(), expected.len());
        for (kind, (name, at, known_by)) in kinds.into_iter().zip(expected) {
            assert_eq!((kind.deck_name(), place(kind), kind.known_by().as_slice()), (*name, *at, *known_by));
        }
    }
}
