//! How a Redis is reached, as several plugins have it in their configuration.
//!
//! Owns: the field lists, and what they come to. Must not know: any plugin, nor how Redis is spoken to.

use std::time::Duration;

use postern_model::Record;
use postern_model::field::{Field, Rule};
use postern_secrets::Secret;
use serde::Deserialize;

use crate::redis::connect::{Login, Sentinels, Settings, Tls};
use crate::registry::Context;

const MILLISECONDS_MAX: f64 = 2_147_483_646.0;

/// The fields of `redis`. `older` says whether the plugin knew them as `redis_host` and so on.
pub(super) const fn fields(older: bool) -> [Field; 10] {
    const fn named(field: Field, older: bool, name: &'static [&'static str]) -> Field {
        if older { field.shorthands(name) } else { field }
    }
    [
        named(Field::string("host").doc("Its name or address."), older, &["redis_host"]),
        named(
            Field::integer("port").default_int(6379).rules(&[Rule::Between(0.0, 65535.0)]).doc("Its port."),
            older,
            &["redis_port"],
        ),
        named(
            Field::integer("timeout")
                .default_int(2000)
                .rules(&[Rule::Between(0.0, MILLISECONDS_MAX)])
                .doc("Milliseconds for connecting, sending and reading, each."),
            older,
            &["redis_timeout"],
        ),
        named(Field::string("username").doc("The name to log in with."), older, &["redis_username"]),
        named(
            Field::string("password").secret().doc("The password to log in with."),
            older,
            &["redis_password"],
        ),
        named(
            Field::integer("database").default_int(0).doc("The number of the database."),
            older,
            &["redis_database"],
        ),
        named(Field::boolean("ssl").default_bool(false).doc("Whether to use TLS."), older, &["redis_ssl"]),
        named(
            Field::boolean("ssl_verify")
                .default_bool(false)
                .doc("Whether to verify the server's certificate."),
            older,
            &["redis_ssl_verify"],
        ),
        named(
            Field::string("server_name").doc("The server name of the TLS handshake."),
            older,
            &["redis_server_name"],
        ),
        Field::record("cloud_authentication", CLOUD)
            .unsupported("logins of cloud providers at Redis")
            .doc("How to log in with a cloud provider's identity."),
    ]
}

/// The same, with ours for Sentinels and clusters, in the names that Kong has for them in other plugins.
pub(super) const fn with_groups(older: bool) -> [Field; 17] {
    let mut all = [GROUPS[0]; 17];
    let (own, mut index) = (fields(older), 0);
    while index < own.len() {
        all[index] = own[index];
        index += 1;
    }
    while index < all.len() {
        all[index] = GROUPS[index - own.len()];
        index += 1;
    }
    all
}

const GROUPS: [Field; 7] = [
    Field::string("sentinel_master").doc("The name of the master that the Sentinels know. Ours."),
    Field::array("sentinel_nodes", &SENTINEL).rules(&[Rule::LengthMin(1)]).doc("The Sentinels. Ours."),
    Field::string("sentinel_username").doc("The name to log in with at a Sentinel. Ours."),
    Field::string("sentinel_password").secret().doc("The password to log in with at a Sentinel. Ours."),
    Field::array("cluster_nodes", &NODE).rules(&[Rule::LengthMin(1)]).doc("Some nodes of a cluster. Ours."),
    Field::integer("cluster_max_redirections")
        .default_int(5)
        .rules(&[Rule::Between(0.0, 100.0)])
        .doc("How often a cluster may send us on. Ours."),
    Field::string("sentinel_role")
        .rules(&[Rule::OneOf(&["master"])])
        .doc("Which server of the Sentinels is used: counts need the master. Ours."),
];

/// What [`Config::settings`] needs besides the field list: Sentinels and their master belong together. `blame` is the way
/// to the record `redis` of this one.
///
/// # Errors
/// One of the two is missing.
pub(super) fn groups_are_whole(config: &Record, blame: &'static str) -> Result<(), (&'static str, String)> {
    let is_given = |name| config.record("redis").is_some_and(|redis| redis.get(name).is_some());
    match is_given("sentinel_master") == is_given("sentinel_nodes") {
        true => Ok(()),
        false => {
            let names = "'sentinel_master', 'sentinel_nodes'";
            Err((blame, format!("all or none of these fields must be set: {names}")))
        }
    }
}

/// And where it is used, it is somewhere. `blame` is the way to its `host`.
///
/// # Errors
/// It is nowhere.
pub(super) fn is_named(config: &Record, blame: &'static str) -> Result<(), (&'static str, String)> {
    let places = ["host", "cluster_nodes", "sentinel_nodes"];
    match config.record("redis").is_some_and(|redis| places.iter().any(|name| redis.get(name).is_some())) {
        true => Ok(()),
        false => Err((blame, "required field missing".to_owned())),
    }
}

/// The fields of [`with_groups`], read.
#[derive(Deserialize)]
pub(super) struct Config {
    host: Option<String>,
    port: u16,
    timeout: u64,
    username: Option<Secret>,
    password: Option<Secret>,
    database: i64,
    ssl: bool,
    ssl_verify: bool,
    server_name: Option<String>,
    sentinel_master: Option<String>,
    sentinel_nodes: Option<Vec<Node>>,
    sentinel_username: Option<Secret>,
    sentinel_password: Option<Secret>,
    cluster_nodes: Option<Vec<Node>>,
    cluster_max_redirections: Option<u32>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(alias = "ip")]
    host: String,
    port: u16,
}

impl Config {
    /// How the server is reached.
    ///
    /// # Errors
    /// None is named.
    pub(super) fn settings(self, context: &Context<'_>) -> Result<Settings, String> {
        let places = |nodes: Option<Vec<Node>>| -> Vec<_> {
            nodes.into_iter().flatten().map(|node| (node.host, node.port)).collect()
        };
        let is_cluster = self.cluster_nodes.is_some();
        let sentinels = match (self.sentinel_master, places(self.sentinel_nodes)) {
            (Some(master), places) if !places.is_empty() => {
                let login = Login { username: self.sentinel_username, password: self.sentinel_password };
                Some(Sentinels { places, master, login })
            }
            (None, places) if places.is_empty() => None,
            _ => return Err("redis: sentinel_master and sentinel_nodes belong together".to_owned()),
        };
        let mut known = places(self.cluster_nodes);
        known.extend(self.host.filter(|_| !is_cluster).map(|host| (host, self.port)));
        if known.is_empty() && sentinels.is_none() {
            return Err("redis: host: required field missing".to_owned());
        }
        Ok(Settings {
            places: known,
            login: Login { username: self.username, password: self.password },
            database: self.database,
            tls: self.ssl.then(|| Tls {
                trust: context.node.trust.clone(),
                verify: self.ssl_verify,
                name: self.server_name,
            }),
            timeout: Duration::from_millis(self.timeout.max(1)),
            sentinels,
            redirections: if is_cluster { self.cluster_max_redirections.unwrap_or(5) } else { 0 },
        })
    }
}

/// The fields of `redis` where Kong has Sentinel and Cluster as well.
pub(super) const FULL: [Field; 22] = [
    Field::string("host").default_text("127.0.0.1").doc("Its name or address."),
    Field::integer("port").default_int(6379).rules(&[Rule::Between(0.0, 65535.0)]).doc("Its port."),
    milliseconds("connect_timeout", "Milliseconds for connecting."),
    milliseconds("send_timeout", "Milliseconds for sending."),
    milliseconds("read_timeout", "Milliseconds for an answer."),
    Field::string("username").doc("The name to log in with."),
    Field::string("password").secret().doc("The password to log in with."),
    Field::string("sentinel_username").doc("The name to log in with at a Sentinel."),
    Field::string("sentinel_password").secret().doc("The password to log in with at a Sentinel."),
    Field::integer("database").default_int(0).doc("The number of the database."),
    Field::integer("keepalive_pool_size")
        .default_int(256)
        .rules(&[Rule::Between(1.0, MILLISECONDS_MAX)])
        .doc("Connections that are kept."),
    Field::integer("keepalive_backlog")
        .rules(&[Rule::Between(0.0, MILLISECONDS_MAX)])
        .doc("How many may wait for one."),
    Field::string("sentinel_master").doc("The name of the master that Sentinels know."),
    Field::string("sentinel_role")
        .rules(&[Rule::OneOf(&["any", "master", "slave"])])
        .doc("Which server of it is used."),
    Field::array("sentinel_nodes", &SENTINEL).rules(&[Rule::LengthMin(1)]).doc("The Sentinels."),
    Field::array("cluster_nodes", &NODE).rules(&[Rule::LengthMin(1)]).doc("Some nodes of a cluster."),
    Field::boolean("ssl").default_bool(false).doc("Whether to use TLS."),
    Field::boolean("ssl_verify").default_bool(false).doc("Whether to verify the server's certificate."),
    Field::string("server_name").doc("The server name of the TLS handshake."),
    Field::integer("cluster_max_redirections").default_int(5).doc("How often a cluster may send us on."),
    Field::boolean("connection_is_proxied").default_bool(false).doc("Whether a proxy stands before it."),
    Field::record("cloud_authentication", CLOUD)
        .unsupported("logins of cloud providers at Redis")
        .doc("How to log in with a cloud provider's identity."),
];

const fn milliseconds(name: &'static str, doc: &'static str) -> Field {
    Field::integer(name).default_int(2000).rules(&[Rule::Between(0.0, MILLISECONDS_MAX)]).doc(doc)
}

const SENTINEL: Field = Field::record(
    "",
    &[Field::string("host").required().default_text("127.0.0.1").doc("Its name or address."), PORT],
);
const NODE: Field = Field::record(
    "",
    &[Field::string("ip").required().default_text("127.0.0.1").doc("Its name or address."), PORT],
);
const PORT: Field =
    Field::integer("port").default_int(6379).rules(&[Rule::Between(0.0, 65535.0)]).doc("Its port.");

const CLOUD: &[Field] = &[
    Field::string("auth_provider").rules(&[Rule::OneOf(&["aws", "azure", "gcp"])]).doc("The cloud provider."),
    Field::string("aws_cache_name").doc("AWS: the name of the cache."),
    Field::string("aws_region").doc("AWS: its region."),
    Field::boolean("aws_is_serverless").default_bool(true).doc("AWS: whether it is serverless."),
    Field::string("aws_access_key_id").secret().doc("AWS: the access key's identifier."),
    Field::string("aws_secret_access_key").secret().doc("AWS: the access key."),
    Field::string("aws_assume_role_arn").secret().doc("AWS: the role to take on."),
    Field::string("aws_role_session_name").secret().doc("AWS: what the session is called."),
    Field::string("gcp_service_account_json").secret().doc("GCP: the service account, as JSON."),
    Field::string("azure_client_id").secret().doc("Azure: the client."),
    Field::string("azure_client_secret").secret().doc("Azure: its secret."),
    Field::string("azure_tenant_id").secret().doc("Azure: the tenant."),
];
