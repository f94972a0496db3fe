//! The table of kinds: what there is, in the order in which it is written.
//!
//! Owns: names, paths, what tells one entity from another, to what it refers, which of its fields are credentials. Must not
//! know: the network, plugins. A gateway may have fields that are not in here: where it shows a schema, that counts too.
//!
//! The order of the table is that of the writes: each kind after those that it refers to, and deletes go the other way. It
//! is decK's order, so that a gateway sees from us what it sees from decK.

use serde_json::{Map, Value as Json};

/// The fields of an entity, as they go over the wire.
pub type Body = Map<String, Json>;

/// A kind of entity.
#[derive(Debug)]
pub struct Kind {
    /// What decK calls it in its output: `service`.
    pub name: &'static str,
    /// The name of its lists in files, and of its schema: `services`.
    pub collection: &'static str,
    /// The list of all of them: `services`; none for those that are read in another way.
    pub list: Option<&'static str>,
    /// Where one is written.
    pub place: Place,
    /// The sets of fields by which one is known, the first first.
    pub identity: &'static [&'static [&'static str]],
    /// The fields that name other entities.
    pub references: &'static [Reference],
    /// All other fields that a file may set.
    pub fields: &'static [&'static str],
    /// Fields that are written but cannot be read back.
    pub unreadable: &'static [&'static str],
    /// Credentials, with dots on the way to those inside.
    pub secret: &'static [&'static str],
    /// Statuses of the list that mean: this gateway has none of these.
    pub tolerated: &'static [u16],
    /// Whether its defaults are taken from `/schemas`.
    pub has_defaults: bool,
    /// Whether the gateway checks one by `/schemas/.../validate`.
    pub is_validated: bool,
}

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

/// A field that names another entity: `{"id": "..."}` on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The field.
    pub field: &'static str,
    /// The collection of the other.
    pub to: &'static str,
    /// Whether an entity may stand in a file inside the other one.
    pub nests: bool,
}

const fn nests(field: &'static str, to: &'static str) -> Reference {
    Reference { field, to, nests: true }
}

const fn refers(field: &'static str, to: &'static str) -> Reference {
    Reference { field, to, nests: false }
}

const NONE: &[u16] = &[];
const MISSING: &[u16] = &[404];
const ENTERPRISE: &[u16] = &[403, 404];
const CONSUMER: &[Reference] = &[nests("consumer", "consumers")];

/// What is the same for most.
const PLAIN: Kind = Kind {
    name: "",
    collection: "",
    list: None,
    place: Place::Member,
    identity: &[],
    references: &[],
    fields: &[],
    unreadable: &[],
    secret: &[],
    tolerated: NONE,
    has_defaults: false,
    is_validated: true,
};

const fn top(name: &'static str, collection: &'static str, path: &'static str) -> Kind {
    Kind { name, collection, list: Some(path), place: Place::Top(path), ..PLAIN }
}

const fn of_consumer(
    name: &'static str,
    collection: &'static str,
    list: &'static str,
    path: &'static str,
) -> Kind {
    let place = Place::Under("consumers", "consumer", path);
    Kind { name, collection, list: Some(list), place, references: CONSUMER, tolerated: MISSING, ..PLAIN }
}

/// Every kind, each after those that it refers to.
pub static KINDS: &[Kind] = &[
    Kind {
        identity: &[&["cert", "key"]],
        fields: &["cert", "key", "cert_alt", "key_alt", "tags"],
        secret: &["key", "key_alt"],
        ..top("certificate", "certificates", "certificates")
    },
    Kind {
        identity: &[&["cert"]],
        fields: &["cert", "tags"],
        tolerated: MISSING,
        ..top("ca-certificate", "ca_certificates", "ca_certificates")
    },
    Kind {
        identity: &[&["username"], &["custom_id"]],
        fields: &["username", "custom_id", "tags"],
        ..top("consumer", "consumers", "consumers")
    },
    Kind {
        identity: &[&["prefix"]],
        fields: &["name", "prefix", "description", "config", "tags"],
        tolerated: ENTERPRISE,
        ..top("vault", "vaults", "vaults")
    },
    Kind {
        identity: &[&["name"]],
        fields: &["name", "type", "config", "tags"],
        tolerated: ENTERPRISE,
        ..top("partial", "partials", "partials")
    },
    Kind {
        identity: &[&["name"]],
        fields: &["name", "tags"],
        tolerated: ENTERPRISE,
        is_validated: false,
        ..top("key-set", "key_sets", "key-sets")
    },
    Kind {
        identity: &[&["name"]],
        fields: &["name", "tags"],
        tolerated: ENTERPRISE,
        is_validated: false,
        ..top("consumer-group", "consumer_groups", "consumer_groups")
    },
    Kind {
        identity: &[&["name"]],
        references: &[nests("certificate", "certificates")],
        fields: &["name", "tags"],
        ..top("sni", "snis", "snis")
    },
    Kind {
        identity: &[&["name"]],
        references: &[refers("client_certificate", "certificates")],
        fields: &[
            "name",
            "protocol",
            "host",
            "port",
            "path",
            "retries",
            "connect_timeout",
            "write_timeout",
            "read_timeout",
            "tls_verify",
            "tls_verify_depth",
            "tls_sans",
            "ca_certificates",
            "enabled",
            "tags",
        ],
        has_defaults: true,
        ..top("service", "services", "services")
    },
    Kind {
        identity: &[&["name"]],
        references: &[refers("client_certificate", "certificates")],
        fields: &["name", "healthchecks", "tags"],
        secret: &["healthchecks.active.headers"],
        has_defaults: true,
        ..top("upstream", "upstreams", "upstreams")
    },
    Kind {
        identity: &[&["name"]],
        references: &[nests("set", "key_sets")],
        fields: &["name", "kid", "jwk", "pem", "tags"],
        secret: &["jwk", "pem"],
        tolerated: ENTERPRISE,
        is_validated: false,
        ..top("key", "keys", "keys")
    },
    Kind {
        identity: &[&["key"]],
        fields: &["key", "ttl", "tags"],
        secret: &["key"],
        ..of_consumer("key-auth", "keyauth_credentials", "key-auths", "key-auth")
    },
    Kind {
        identity: &[&["username"]],
        fields: &["username", "secret", "tags"],
        secret: &["secret"],
        ..of_consumer("hmac-auth", "hmacauth_credentials", "hmac-auths", "hmac-auth")
    },
    Kind {
        identity: &[&["key"]],
        fields: &["key", "secret", "algorithm", "rsa_public_key", "tags"],
        secret: &["secret"],
        ..of_consumer("jwt-auth", "jwt_secrets", "jwts", "jwt")
    },
    Kind {
        identity: &[&["username"]],
        fields: &["username", "password", "tags"],
        unreadable: &["password"],
        secret: &["password"],
        ..of_consumer("basic-auth", "basicauth_credentials", "basic-auths", "basic-auth")
    },
    Kind {
        identity: &[&["client_id"]],
        fields: &[
            "name",
            "client_id",
            "client_secret",
            "redirect_uris",
            "client_type",
            "hash_secret",
            "tags",
        ],
        secret: &["client_secret"],
        ..of_consumer("oauth2-cred", "oauth2_credentials", "oauth2", "oauth2")
    },
    Kind {
        identity: &[&["consumer", "group"]],
        fields: &["group", "tags"],
        ..of_consumer("acl-group", "acls", "acls", "acls")
    },
    Kind {
        identity: &[&["consumer", "subject_name", "ca_certificate"], &["consumer", "subject_name"]],
        references: &[nests("consumer", "consumers"), refers("ca_certificate", "ca_certificates")],
        fields: &["subject_name"],
        tolerated: ENTERPRISE,
        is_validated: false,
        ..of_consumer("mtls-auth", "mtls_auth_credentials", "mtls-auths", "mtls-auth")
    },
    Kind {
        identity: &[&["name"]],
        references: &[nests("service", "services")],
        fields: &["name", "expression", "priority", "tags"],
        has_defaults: true,
        ..top("route", "routes", "routes")
    },
    Kind {
        name: "target",
        collection: "targets",
        place: Place::Under("upstreams", "upstream", "targets"),
        identity: &[&["upstream", "target"]],
        references: &[nests("upstream", "upstreams")],
        fields: &["target", "weight", "tags"],
        has_defaults: true,
        ..PLAIN
    },
    Kind {
        name: "consumer-group-consumer",
        collection: "consumer_group_consumers",
        identity: &[&["consumer_group", "consumer"]],
        references: &[nests("consumer_group", "consumer_groups"), nests("consumer", "consumers")],
        is_validated: false,
        ..PLAIN
    },
    Kind {
        identity: &[&["name", "service", "route", "consumer", "consumer_group"]],
        references: &[
            nests("service", "services"),
            nests("route", "routes"),
            nests("consumer", "consumers"),
            nests("consumer_group", "consumer_groups"),
        ],
        fields: &[
            "name",
            "instance_name",
            "config",
            "enabled",
            "protocols",
            "ordering",
            "condition",
            "partials",
            "tags",
        ],
        ..top("plugin", "plugins", "plugins")
    },
    Kind {
        identity: &[&["service", "route"]],
        references: &[nests("service", "services"), nests("route", "routes")],
        fields: &["name", "enabled", "filters", "tags"],
        secret: &["filters.config"],
        tolerated: &[400, 404],
        ..top("filter-chain", "filter_chains", "filter-chains")
    },
];

/// The kind with this list in files.
pub fn of(collection: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.collection == collection)
}

impl Kind {
    /// Its place in the order of writes.
    pub fn rank(&self) -> usize {
        KINDS.iter().position(|kind| kind.collection == self.collection).unwrap_or(KINDS.len())
    }

    /// Whether its `config` is described by a schema of its own.
    pub fn is_plugin(&self) -> bool {
        self.collection == "plugins"
    }

    /// Whether it is a vault.
    pub fn is_vault(&self) -> bool {
        self.collection == "vaults"
    }

    /// The field that names another entity, if it is one.
    pub fn reference(&self, field: &str) -> Option<&'static Reference> {
        self.references.iter().find(|reference| reference.field == field)
    }

    /// The field by which others refer to it in files, besides its identifier.
    pub fn named_by(&self) -> Option<&'static str> {
        match self.identity {
            [[one], ..] if !self.secret.contains(one) && *one != "cert" => Some(one),
            _ => None,
        }
    }

    /// What an entity goes by among people and in files: its name, or what stands for it.
    pub fn name_of<'a>(&self, body: &'a Body) -> Option<&'a str> {
        let single = self.identity.iter().filter(|fields| fields.len() == 1).map(|fields| fields[0]);
        single
            .filter(|field| !self.secret.contains(field) && *field != "cert")
            .find_map(|field| body.get(field).and_then(Json::as_str).filter(|name| !name.is_empty()))
    }

    /// All that tells this entity from others of its kind, as texts that are alike only where it is the same.
    pub fn identities(&self, body: &Body) -> Vec<String> {
        let of = |(index, fields): (usize, &&[&str])| {
            let values: Vec<Json> = fields.iter().map(|field| self.identifying(field, body)).collect();
            // A plugin for everybody is known by having no scope; all others are known by what they have.
            let is_known = match self.collection {
                "plugins" => !values[0].is_null(),
                "filter_chains" => values.iter().any(|value| !value.is_null()),
                _ => values.iter().all(|value| !value.is_null()),
            };
            is_known.then(|| format!("{index}:{}", Json::from(values)))
        };
        self.identity.iter().enumerate().filter_map(of).collect()
    }

    fn identifying(&self, field: &str, body: &Body) -> Json {
        let value = body.get(field).unwrap_or(&Json::Null);
        match value {
            _ if self.reference(field).is_some() => value.get("id").cloned().unwrap_or_default(),
            Json::String(text) if field == "target" => super::target::canonical(text).into(),
            Json::String(text) if matches!(field, "cert" | "key") => text.trim_end().into(),
            other => other.clone(),
        }
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
        for kind in KINDS {
            for reference in kind.references {
                let to = of(reference.to).unwrap();
                assert!(to.rank() < kind.rank(), "{} refers to {}", kind.name, to.name);
            }
        }
    }

    #[test]
    fn identities_tell_scopes_apart() {
        let plugin = |json: Json| of("plugins").unwrap().identities(json.as_object().unwrap());
        let global = plugin(serde_json::json!({ "name": "cors", "service": null }));
        assert_eq!(global, plugin(serde_json::json!({ "name": "cors" })));
        let scoped = plugin(serde_json::json!({ "name": "cors", "service": { "id": "s", "name": "x" } }));
        assert_ne!(global, scoped);
        let consumer = serde_json::json!({ "custom_id": "7", "username": null });
        assert_eq!(of("consumers").unwrap().identities(consumer.as_object().unwrap()), ["1:[\"7\"]"]);
    }
}
