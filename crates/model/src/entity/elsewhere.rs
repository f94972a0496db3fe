//! Kinds of entities that other gateways have and this one does not: its client writes them all the same.
//!
//! Owns: their fields, as far as a client must know them. Must not know: what a gateway does with them.

use super::definition::{Definition, ID, MAY_HIDE, TAGS};
use crate::field::{Field, Schema, Type};

/// Parts of configurations that plugins share.
pub(crate) static PARTIALS: Definition =
    Definition { absent: MAY_HIDE, is_served: false, ..Definition::top("partial", "partials", PARTIAL) };

/// Clients of the plugin `oauth2`.
pub(crate) static OAUTH2_CREDENTIALS: Definition = Definition {
    is_served: false,
    ..Definition::of_consumer("oauth2-cred", "oauth2_credentials", OAUTH2_CREDENTIAL, "oauth2", "oauth2")
};

/// Certificates of consumers.
pub(crate) static MTLS_AUTH_CREDENTIALS: Definition = Definition {
    known_by: &[&["consumer", "subject_name", "ca_certificate"], &["consumer", "subject_name"]],
    beside: &["ca_certificate"],
    absent: MAY_HIDE,
    is_validated: false,
    is_served: false,
    ..Definition::of_consumer(
        "mtls-auth",
        "mtls_auth_credentials",
        MTLS_AUTH_CREDENTIAL,
        "mtls-auths",
        "mtls-auth",
    )
};

/// Filters in WebAssembly.
pub(crate) static FILTER_CHAINS: Definition = Definition {
    path: Some("filter-chains"),
    nested: "filter-chains",
    known_by: &[&["service", "route"]],
    masked: &["filters.config"],
    absent: &[400, 404],
    is_served: false,
    ..Definition::top("filter-chain", "filter_chains", FILTER_CHAIN)
};

const PARTIAL: Schema = Schema {
    fields: &[
        ID,
        Field::string("name").unique(),
        Field::string("type"),
        Field::new("config", Type::Any),
        TAGS,
    ],
    checks: &[],
};

const OAUTH2_CREDENTIAL: Schema = Schema {
    fields: &[
        ID,
        CONSUMER,
        Field::string("name"),
        Field::string("client_id").unique(),
        Field::string("client_secret").secret(),
        Field::strings("redirect_uris"),
        Field::string("client_type"),
        Field::boolean("hash_secret"),
        TAGS,
    ],
    checks: &[],
};

const MTLS_AUTH_CREDENTIAL: Schema = Schema {
    fields: &[
        ID,
        CONSUMER,
        Field::foreign("ca_certificate", "ca_certificates"),
        Field::string("subject_name"),
    ],
    checks: &[],
};

const FILTER_CHAIN: Schema = Schema {
    fields: &[
        ID,
        Field::foreign("service", "services"),
        Field::foreign("route", "routes"),
        Field::string("name"),
        Field::boolean("enabled"),
        Field::new("filters", Type::Any),
        TAGS,
    ],
    checks: &[],
};

const CONSUMER: Field = Field::foreign("consumer", "consumers");
