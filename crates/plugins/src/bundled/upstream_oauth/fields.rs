//! The field list of `upstream-oauth`.
//!
//! Owns: names, defaults, limits. Must not know: what comes of them.

use postern_model::Record;
use postern_model::field::{Default, Field, INTEGER, Rule, TEXT, Type};

use super::super::{redis, rules};

pub(super) const FIELDS: &[Field] = &[
    Field::record("client", CLIENT).required().doc("How the identity provider is spoken to."),
    Field::record("oauth", OAUTH).required().doc("Which token is asked for."),
    Field::record("cache", CACHE).required().doc("How tokens are kept."),
    Field::record("behavior", BEHAVIOR)
        .required()
        .doc("What the upstream gets, and the client where there is no token."),
];

const CLIENT: &[Field] = &[
    Field::string("auth_method")
        .required()
        .default_text("client_secret_post")
        .rules(&[Rule::OneOf(&["client_secret_basic", "client_secret_jwt", "client_secret_post", "none"])])
        .doc("How the client shows its secret."),
    Field::string("client_secret_jwt_alg")
        .required()
        .default_text("HS512")
        .rules(&[Rule::OneOf(&["HS256", "HS512"])])
        .doc("How the assertion of `client_secret_jwt` is signed."),
    Field::number("http_version")
        .default(Default::Number(1.1))
        .unsupported("HTTP/1.0")
        .doc("The version of HTTP."),
    Field::string("http_proxy").unsupported("proxies on the way to an identity provider").doc("A proxy for http."),
    Field::string("http_proxy_authorization")
        .secret()
        .unsupported("proxies on the way to an identity provider")
        .doc("Who we are to it."),
    Field::string("https_proxy").unsupported("proxies on the way to an identity provider").doc("A proxy for https."),
    Field::string("https_proxy_authorization")
        .secret()
        .unsupported("proxies on the way to an identity provider")
        .doc("Who we are to it."),
    Field::string("no_proxy")
        .unsupported("proxies on the way to an identity provider")
        .doc("Hosts that are reached without."),
    Field::integer("timeout")
        .required()
        .default_int(10_000)
        .rules(&[Rule::Between(0.0, 2_147_483_646.0)])
        .doc("Milliseconds for asking for a token."),
    Field::boolean("keep_alive").required().default_bool(true).doc("Whether connections are kept."),
    Field::boolean("ssl_verify")
        .default_bool(false)
        .doc("Whether the identity provider's certificate is checked. Turn it on: who poses as it gets the secret."),
];

const OAUTH: &[Field] = &[
    Field::string("token_endpoint")
        .required()
        .rules(&[Rule::Custom(rules::http_url)])
        .doc("Where tokens are issued."),
    Field::new("token_headers", Type::Map(&HEADER_NAME, &HEADER_VALUE))
        .doc("Headers of each request for a token."),
    Field::new("token_post_args", Type::Map(&TEXT, &SECRET))
        .doc("Parameters of it, besides those of the grant."),
    Field::string("grant_type")
        .required()
        .default_text("client_credentials")
        .rules(&[Rule::OneOf(&["client_credentials", "password"])])
        .doc("The grant."),
    Field::string("client_id").secret().doc("The client's id."),
    Field::string("client_secret").secret().doc("Its secret."),
    Field::string("username").secret().doc("The user, for the password grant."),
    Field::string("password").secret().doc("The user's password."),
    Field::array("audience", &TEXT).required().default_empty().doc("For whom the token shall be."),
    Field::array("scopes", &TEXT).required().default_texts(&["openid"]).doc("What it shall allow."),
];

const HEADER_NAME: Field = TEXT.rules(&[Rule::Custom(rules::header_name)]);
const HEADER_VALUE: Field = rules::HEADER_VALUE.secret();
const SECRET: Field = TEXT.secret();

const CACHE: &[Field] = &[
    Field::string("strategy")
        .required()
        .default_text("memory")
        .rules(&[Rule::OneOf(&["memory", "redis"])])
        .unsupported("tokens in Redis: each node gets its own")
        .doc("Where tokens are kept: in this node's memory."),
    Field::record("memory", MEMORY).required().doc("Kong's dictionaries."),
    Field::record("redis", &redis::FULL).required().doc("The Redis, for `strategy: redis`."),
    Field::integer("eagerly_expire")
        .required()
        .default_int(5)
        .doc("Seconds before its end from which a token is not used."),
    Field::number("default_ttl")
        .required()
        .default_int(3600)
        .doc("Seconds for which a token lives where the identity provider does not say."),
];

const MEMORY: &[Field] = &[Field::string("dictionary_name")
    .required()
    .default_text("kong_db_cache")
    .unsupported("nginx's shared dictionaries")
    .doc("The dictionary; there is none here.")];

const BEHAVIOR: &[Field] = &[
    Field::string("upstream_access_token_header_name")
        .required()
        .default_text("Authorization")
        .rules(&[Rule::Custom(rules::header_name)])
        .doc("The header that takes the token to the upstream, behind the word `Bearer`; the client's own is removed."),
    Field::integer("idp_error_response_status_code")
        .required()
        .default_int(502)
        .rules(&[Rule::Between(500.0, 599.0)])
        .doc("The status of the answer where there is no token."),
    Field::string("idp_error_response_content_type")
        .required()
        .default_text("application/json; charset=utf-8")
        .rules(&[Rule::Custom(rules::header_value)])
        .doc("Its content type."),
    Field::string("idp_error_response_message")
        .required()
        .default_text("Failed to authenticate request to upstream")
        .doc("Its text."),
    Field::string("idp_error_response_body_template")
        .required()
        .default_text("{ \"code\": \"{{status}}\", \"message\": \"{{message}}\" }")
        .doc("Its body, with `{{status}}` and `{{message}}` filled in."),
    Field::array("purge_token_on_upstream_status_codes", &STATUS)
        .default(Default::Integers(&[401]))
        .doc("Statuses of the upstream after which the next request gets a new token."),
];

const STATUS: Field = INTEGER.rules(&[Rule::Between(100.0, 599.0)]);

/// A grant without what it is made of would fail with every request.
pub(super) fn grant_is_whole(config: &Record) -> Result<(), (&'static str, String)> {
    let text = |record: &str, field: &str| config.record(record).and_then(|record| record.text(field));
    let missing = |field: &str| Err(("oauth", format!("{field}: required field missing")));
    if text("oauth", "grant_type") == Some("password") {
        if text("oauth", "username").is_none() {
            return missing("username");
        }
        if text("oauth", "password").is_none() {
            return missing("password");
        }
    }
    if text("client", "auth_method") != Some("none") {
        if text("oauth", "client_id").is_none() {
            return missing("client_id");
        }
        if text("oauth", "client_secret").is_none() {
            return missing("client_secret");
        }
    }
    Ok(())
}
