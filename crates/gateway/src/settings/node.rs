//! Settings of a running node → what the data plane is told.
//!
//! Owns: the settings' names, defaults and forms, which are Kong's, and nginx's where a setting is one of its directives
//! (`nginx_proxy_*`, `nginx_http_*`). Must not know: what comes of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postern_plugins::logging::redact::Redaction;
use postern_plugins::node::Tracing;
use postern_proxy::dns;
use postern_proxy::options::{
    AccessLog, ErrorType, Headers, Limits, Listener, Network, Options, RealIp, UpstreamOptions,
};
use postern_router::Flavour;
use postern_secrets::Secret;
use postern_secrets::snapshot::{KeySource, LkgOptions};

use crate::report::Failure;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// Its name in kong.conf; `KONG_` or `POSTERN_` in front and in capitals in the environment.
    pub(crate) key: &'static str,
    /// What it is when it is not given.
    pub(crate) default: &'static str,
    /// One sentence for people.
    pub(crate) doc: &'static str,
}

const fn spec(key: &'static str, default: &'static str, doc: &'static str) -> Spec {
    Spec { key, default, doc }
}

/// Every setting of a node, each once.
#[rustfmt::skip]
pub(crate) const SPECS: &[Spec] = &[
    spec("prefix", "", "Directory for the process id and logs; /var/lib/postern, or below the home directory without the right to write there."),
    spec("log_level", "notice", "debug, info, notice, warn, error or crit. Read from the environment only: POSTERN_LOG_LEVEL."),
    spec("proxy_listen", "0.0.0.0:8000, 0.0.0.0:8443 http2 ssl", "Where traffic comes in: addresses with flags: ssl, http2, ipv6only=off, and nginx's others; off for none."),
    spec("status_listen", "127.0.0.1:8007", "Where /status, /status/ready and /metrics are, with the flag ssl for TLS; off for nowhere."),
    spec("status_ssl_cert", "", "The certificate of the status listener: a file. A self-signed one is made where none is set."),
    spec("status_ssl_cert_key", "", "Its key: a file."),
    spec("nginx_worker_processes", "auto", "Threads that serve; auto: as many as there are processors."),
    spec("proxy_access_log", "logs/access.log", "A file, below the prefix if it is not absolute; off for none."),
    spec("proxy_access_log_format", "text", "text (nginx's combined form and the request id) or json. Ours."),
    spec("headers", "server_tokens, latency_tokens, X-Kong-Request-Id", "Headers that clients get; off for none."),
    spec("headers_upstream", "X-Kong-Request-Id", "Headers that upstreams get; off for none."),
    spec("trusted_ips", "", "Networks whose X-Forwarded-* and real_ip_header count."),
    spec("real_ip_header", "X-Real-IP", "The header in which they name the client."),
    spec("real_ip_recursive", "off", "Whether trusted addresses in it are skipped."),
    spec("error_default_type", "text/plain", "The type of an error's body without an Accept header."),
    spec("upstream_keepalive_pool_size", "512", "Idle connections to one peer; 0 keeps none."),
    spec("upstream_keepalive_idle_timeout", "60", "Seconds for which they are kept; 0: for ever."),
    spec("ssl_cert", "", "The certificate for names that no entity knows: a file."),
    spec("ssl_cert_key", "", "Its key: a file."),
    spec("router_flavor", "traditional_compatible", "traditional_compatible (also called traditional) or expressions."),
    spec("tls_certificate_verify", "off", "Whether upstreams are checked where a service does not say."),
    spec("dns_resolver", "", "Name servers, with or without a port; those of the system by default."),
    spec("resolver_address", "", "The same."),
    spec("dns_valid_ttl", "", "Seconds for which an answer holds, in place of its own."),
    spec("declarative_config", "", "The kong.yaml of a node without a database."),
    spec("declarative_config_string", "", "The same as text."),
    spec("database", "", "sqlite, postgres, or off: the configuration is a file. Default: off where declarative_config is set, else sqlite."),
    spec("pg_host", "127.0.0.1", "The PostgreSQL server: a name, an address, or the directory of a socket."),
    spec("pg_port", "5432", "Its port."),
    spec("pg_timeout", "5000", "Milliseconds to wait for a connection, and for each answer."),
    spec("pg_user", "kong", "Who we are to it; may be a reference, read again when the server refuses it."),
    spec("pg_password", "", "The password; likewise."),
    spec("pg_database", "kong", "The database."),
    spec("pg_schema", "", "The schema in it; the user's own by default."),
    spec("pg_ssl", "off", "Whether to speak TLS, and nothing else."),
    spec("pg_ssl_verify", "off", "Whether to check its certificate, by lua_ssl_trusted_certificate."),
    spec("pg_pool_size", "10", "Connections at most."),
    spec("admin_listen", "127.0.0.1:8001", "Where the Admin API listens, with the flag ssl for TLS; off for nowhere."),
    spec("admin_token", "", "What requests to the Admin API must show as Admin-Token; may be a reference, which may rotate. Ours."),
    spec("admin_insecure", "off", "Whether anybody may ask who reaches the Admin API, from other machines too. Ours."),
    spec("admin_hosts", "", "Names by which the Admin API may be called besides localhost and addresses. Ours."),
    spec("admin_origins", "", "Pages that may call it from a browser, as in https://manager.example. Ours."),
    spec("admin_ssl_cert", "", "Its certificate: a file. A self-signed one is made where none is set."),
    spec("admin_ssl_cert_key", "", "The key of that: a file."),
    spec("admin_ssl_client_ca", "", "Who signs the certificates that clients of it must show: a file. Ours."),
    spec("admin_audit_log", "log", "Where it is told who changed what by the Admin API, and who was refused: log (the node's own log), a file below the prefix, or off. Ours."),
    spec("vaults", "bundled", "Kinds of vaults that may be used."),
    spec("lua_ssl_trusted_certificate", "system", "Whom vaults, identity providers and upstreams are checked against."),
    spec("secrets_last_known_good", "", "The encrypted file of last known good values; none by default. Ours."),
    spec("secrets_last_known_good_key", "", "Its key: a file, or credential:NAME for one of the service manager's. Ours."),
    spec("secrets_at_once", "8", "Requests to one vault at a time. Ours."),
    spec("log_credentials", "", "Headers and parameters that logs show although their names are those of credentials. Ours."),
    spec("tracing_sampling_rate", "0.01", "Which part of the traces is recorded, from 0 to 1, where the plugin opentelemetry does not say."),
    spec("tracing_instrumentations", "all", "What becomes a span: request, balancer, all or off."),
    spec("syslog_socket", "/dev/log", "The socket of the system's log, for the plugin syslog. Ours."),
    spec("shutdown_timeout", "30", "Seconds that requests under way have when the node ends. Ours."),
    spec("nginx_proxy_client_header_timeout", "60s", "For a whole head, and for a TLS handshake."),
    spec("nginx_proxy_client_body_timeout", "60s", "Between two reads of a body."),
    spec("nginx_proxy_send_timeout", "60s", "Between two writes to a client."),
    spec("nginx_proxy_keepalive_timeout", "75s", "Between two requests."),
    spec("nginx_proxy_keepalive_requests", "10000", "Requests on one connection."),
    spec("nginx_events_worker_connections", "auto", "Connections of clients that a worker has at once; the longest idle make room. auto: 16384."),
    spec("nginx_proxy_client_max_body_size", "0", "Bytes of a request's body; 0: any."),
    spec("nginx_proxy_client_body_buffer_size", "8m", "Bytes of a body that are kept in memory for those who want all of it."),
    spec("nginx_proxy_large_client_header_buffers", "4 8k", "Number and size of buffers; their product is the most that a head may have."),
    spec("nginx_proxy_real_ip_header", "", "As real_ip_header."),
    spec("nginx_proxy_real_ip_recursive", "", "As real_ip_recursive."),
    spec("nginx_proxy_set_real_ip_from", "", "As trusted_ips."),
];

/// Whether a setting is one of a node's.
pub(crate) fn is_used(key: &str) -> bool {
    SPECS.iter().any(|spec| spec.key == key || Some(key) == http_spelling(spec.key).as_deref())
}

/// nginx takes its directives for all listeners too: `nginx_http_*`. Where both are given, the other counts.
fn http_spelling(key: &str) -> Option<String> {
    key.strip_prefix("nginx_proxy_").map(|directive| format!("nginx_http_{directive}"))
}

/// The settings' texts, with references resolved, by name. Only those that were given.
pub(crate) type Texts = BTreeMap<String, Secret>;

/// What a node is told.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) proxy: Options,
    pub(crate) status: Vec<Listener>,
    /// Files: the certificate of the status listener and its key.
    pub(crate) status_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) prefix: PathBuf,
    pub(crate) flavour: Flavour,
    pub(crate) verify_upstreams: bool,
    pub(crate) dns: dns::Settings,
    pub(crate) last_known_good: Option<LkgOptions>,
    pub(crate) at_once: usize,
    pub(crate) database: Database,
    pub(crate) admin: Admin,
    pub(crate) syslog: PathBuf,
    pub(crate) tracing: Tracing,
}

/// The Admin API, but for the token.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) listen: Vec<Listener>,
    pub(crate) insecure: bool,
    pub(crate) hosts: Vec<String>,
    pub(crate) origins: Vec<String>,
    /// Files: the certificate and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) audit: Audit,
}

/// Where it is told who changed what by the Admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audit {
    Log,
    Off,
    File(PathBuf),
}

/// Where the configuration is kept.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// In a file that a person writes.
    Off,
    /// In the prefix directory.
    Sqlite,
    /// On a server.
    Postgres(Postgres),
}

/// A PostgreSQL server, but for the credentials.
#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) timeout: Duration,
    pub(crate) database: String,
    pub(crate) schema: Option<String>,
    pub(crate) ssl: bool,
    pub(crate) ssl_verify: bool,
    pub(crate) connections: usize,
}

/// From texts to what they mean.
///
/// # Errors
/// The first setting that means nothing.
pub(crate) fn node(texts: &Texts) -> Result<Node, Failure> {
    let settings = Reader(texts);
    let prefix = PathBuf::from(settings.text("prefix"));
    let workers = match settings.text("nginx_worker_processes") {
        "auto" => std::thread::available_parallelism().map_or(1, usize::from),
        _ => settings.number("nginx_worker_processes")?.max(1) as usize,
    };
    let certificate = settings.certificate("ssl_cert", "ssl_cert_key")?;
    let flavour = match settings.text("router_flavor") {
        "traditional" | "traditional_compatible" => Flavour::TraditionalCompatible,
        "expressions" => Flavour::Expressions,
        _ => return Err(settings.wrong("router_flavor", "traditional_compatible or expressions")),
    };
    let idle = settings.number("upstream_keepalive_idle_timeout")?;
    settings.refuse_shared_addresses()?;
    Ok(Node {
        proxy: Options {
            listen: settings.listeners("proxy_listen")?,
            workers,
            headers: settings.headers()?,
            real_ip: settings.real_ip()?,
            limits: settings.limits()?,
            upstream: UpstreamOptions {
                idle: settings.number("upstream_keepalive_pool_size")? as usize,
                idle_timeout: if idle == 0 { Duration::MAX } else { Duration::from_secs(idle) },
            },
            access_log: settings.access_log(&prefix)?,
            redaction: Arc::new(Redaction::showing(settings.items("log_credentials"))),
            error_default_type: match settings.text("error_default_type") {
                "text/plain" => ErrorType::Plain,
                "text/html" => ErrorType::Html,
                "application/json" => ErrorType::Json,
                "application/xml" => ErrorType::Xml,
                _ => {
                    let expected = "text/plain, text/html, application/json or application/xml";
                    return Err(settings.wrong("error_default_type", expected));
                }
            },
            default_certificate: certificate,
            drain: settings.duration("shutdown_timeout")?,
        },
        status: settings.listeners("status_listen")?,
        status_certificate: settings.certificate("status_ssl_cert", "status_ssl_cert_key")?,
        prefix,
        flavour,
        verify_upstreams: settings.switch("tls_certificate_verify")?,
        dns: settings.dns()?,
        last_known_good: settings.last_known_good()?,
        at_once: settings.number("secrets_at_once")?.max(1) as usize,
        database: settings.database()?,
        syslog: PathBuf::from(settings.text("syslog_socket")),
        tracing: settings.tracing()?,
        admin: settings.admin()?,
    })
}

/// Where the status of a node is, for commands that ask it.
///
/// # Errors
/// The setting means nothing.
pub(crate) fn status_listeners(settings: &super::Settings) -> Result<Vec<Listener>, Failure> {
    let texts = settings.of_node().map(|(key, text)| (key.to_owned(), text.clone())).collect();
    Reader(&texts).listeners("status_listen")
}

struct Reader<'a>(&'a Texts);

impl Reader<'_> {
    fn given(&self, key: &str) -> Option<&str> {
        let http = || self.0.get(&http_spelling(key)?);
        self.0.get(key).or_else(http).map(Secret::expose).filter(|text| !text.is_empty())
    }

    fn text(&self, key: &str) -> &str {
        let default = || SPECS.iter().find(|spec| spec.key == key).map_or("", |spec| spec.default);
        self.given(key).unwrap_or_else(default)
    }

    fn items(&self, key: &str) -> impl Iterator<Item = &str> {
        self.text(key).split(',').map(str::trim).filter(|item| !item.is_empty() && *item != "off")
    }

    fn wrong(&self, key: &str, expected: &str) -> Failure {
        let doc = SPECS.iter().find(|spec| spec.key == key).map_or("", |spec| spec.doc);
        Failure::new(format!("{key}: expected {expected}"), format!("{key}: {doc}"))
    }

    fn number(&self, key: &str) -> Result<u64, Failure> {
        self.text(key).parse().map_err(|_| self.wrong(key, "a whole number"))
    }

    fn switch(&self, key: &str) -> Result<bool, Failure> {
        match self.text(key) {
            "on" | "true" | "yes" => Ok(true),
            "off" | "false" | "no" => Ok(false),
            _ => Err(self.wrong(key, "on or off")),
        }
    }

    /// nginx's form: `60s`, `1m`, `500ms`; seconds without a unit.
    fn duration(&self, key: &str) -> Result<Duration, Failure> {
        duration(self.text(key)).ok_or_else(|| self.wrong(key, "a time, as in 60s or 500ms"))
    }

    /// nginx's form: `8k`, `1m`; bytes without a unit.
    fn size(&self, key: &str) -> Result<u64, Failure> {
        size(self.text(key)).ok_or_else(|| self.wrong(key, "a size, as in 8k or 1m"))
    }

    fn tracing(&self) -> Result<Tracing, Failure> {
        let key = "tracing_sampling_rate";
        let rate = self.text(key).parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
        let mut tracing = Tracing {
            rate: rate.ok_or_else(|| self.wrong(key, "a number from 0 to 1"))?,
            request: false,
            balancer: false,
        };
        for item in self.items("tracing_instrumentations") {
            match item {
                "all" => (tracing.request, tracing.balancer) = (true, true),
                "request" => tracing.request = true,
                "balancer" => tracing.balancer = true,
                // Spans of Kong's own parts, which are not told apart here.
                "db_query"
                | "router"
                | "http_client"
                | "plugin_rewrite"
                | "plugin_access"
                | "plugin_header_filter" => {}
                _ => return Err(self.wrong("tracing_instrumentations", "request, balancer, all or off")),
            }
        }
        Ok(tracing)
    }

    fn listeners(&self, key: &str) -> Result<Vec<Listener>, Failure> {
        self.items(key)
            .map(|item| {
                listener(item).map_err(|reason| {
                    let doc = SPECS.iter().find(|spec| spec.key == key).map_or("", |spec| spec.doc);
                    Failure::new(format!("{key}: {item}: {reason}"), format!("{key}: {doc}"))
                })
            })
            .collect()
    }

    /// Listeners share their ports with those of another process of ours, so the kernel would not refuse two of this one.
    fn refuse_shared_addresses(&self) -> Result<(), Failure> {
        let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
        for key in ["proxy_listen", "admin_listen", "status_listen"] {
            for Listener { address, .. } in self.listeners(key)? {
                match taken.iter().find(|(_, other)| *other == address && address.port() != 0) {
                    Some((other, _)) if *other == key => {
                        return Err(Failure::new(
                            format!("{key}: {address} is there twice"),
                            "remove one of them",
                        ));
                    }
                    Some((other, _)) => {
                        return Err(Failure::new(
                            format!("{key}: {address} is an address of {other}, too"),
                            format!("set {key} or {other} to another port, or to off"),
                        ));
                    }
                    None => taken.push((key, address)),
                }
            }
        }
        Ok(())
    }

    fn headers(&self) -> Result<Headers, Failure> {
        let mut headers = Headers {
            server: false,
            via: false,
            upstream_latency: false,
            proxy_latency: false,
            response_latency: false,
            upstream_status: false,
            request_id: false,
            upstream_request_id: false,
        };
        for item in self.items("headers") {
            match item.to_ascii_lowercase().as_str() {
                "server_tokens" => (headers.server, headers.via) = (true, true),
                "server" => headers.server = true,
                "via" => headers.via = true,
                "latency_tokens" => {
                    (headers.upstream_latency, headers.proxy_latency, headers.response_latency) =
                        (true, true, true);
                }
                "x-kong-upstream-latency" => headers.upstream_latency = true,
                "x-kong-proxy-latency" => headers.proxy_latency = true,
                "x-kong-response-latency" => headers.response_latency = true,
                "x-kong-admin-latency" => {}
                "x-kong-upstream-status" => headers.upstream_status = true,
                "x-kong-request-id" => headers.request_id = true,
                _ => {
                    let expected = "server_tokens, latency_tokens, Server, Via, X-Kong-Upstream-Latency, \
                                    X-Kong-Proxy-Latency, X-Kong-Response-Latency, X-Kong-Admin-Latency, \
                                    X-Kong-Upstream-Status, X-Kong-Request-Id or off";
                    return Err(self.wrong("headers", expected));
                }
            }
        }
        for item in self.items("headers_upstream") {
            match item.eq_ignore_ascii_case("x-kong-request-id") {
                true => headers.upstream_request_id = true,
                false => return Err(self.wrong("headers_upstream", "X-Kong-Request-Id or off")),
            }
        }
        Ok(headers)
    }

    fn real_ip(&self) -> Result<RealIp, Failure> {
        let networks = |key: &'static str| {
            let item = |item: &str| match item {
                "unix:" => None,
                item => Some(item.parse::<Network>().map_err(|()| self.wrong(key, "addresses or networks"))),
            };
            self.items(key).filter_map(item).collect::<Result<Vec<_>, _>>()
        };
        let mut trusted = networks("trusted_ips")?;
        trusted.extend(networks("nginx_proxy_set_real_ip_from")?);
        let header = self.given("nginx_proxy_real_ip_header").unwrap_or_else(|| self.text("real_ip_header"));
        let recursive = match self.given("nginx_proxy_real_ip_recursive") {
            Some(_) => self.switch("nginx_proxy_real_ip_recursive")?,
            None => self.switch("real_ip_recursive")?,
        };
        if header == "proxy_protocol" {
            return Err(
                self.wrong("real_ip_header", "the name of a header: the PROXY protocol is not supported yet")
            );
        }
        let header = header.parse().map_err(|_| self.wrong("real_ip_header", "the name of a header"))?;
        Ok(RealIp { trusted, header, recursive })
    }

    fn limits(&self) -> Result<Limits, Failure> {
        const BUFFERS: &str = "nginx_proxy_large_client_header_buffers";
        let head_size = self
            .text(BUFFERS)
            .split_once(char::is_whitespace)
            .and_then(|(number, each)| Some(number.parse::<u64>().ok()? * size(each.trim())?))
            .ok_or_else(|| self.wrong(BUFFERS, "a number and a size, as in 4 8k"))?;
        Ok(Limits {
            head_timeout: self.duration("nginx_proxy_client_header_timeout")?,
            body_timeout: self.duration("nginx_proxy_client_body_timeout")?,
            send_timeout: self.duration("nginx_proxy_send_timeout")?,
            idle_timeout: self.duration("nginx_proxy_keepalive_timeout")?,
            requests_per_connection: u32::try_from(self.number("nginx_proxy_keepalive_requests")?)
                .unwrap_or(u32::MAX),
            head_size: head_size as usize,
            body_size: self.size("nginx_proxy_client_max_body_size")?,
            body_buffer: self.size("nginx_proxy_client_body_buffer_size")? as usize,
            connections: match self.text("nginx_events_worker_connections") {
                "auto" => Limits::default().connections,
                _ => self.number("nginx_events_worker_connections")?.max(1) as usize,
            },
            ..Limits::default()
        })
    }

    fn access_log(&self, prefix: &std::path::Path) -> Result<Option<AccessLog>, Failure> {
        let text = self.text("proxy_access_log");
        // nginx lets the name of a format follow; there is one here.
        let path = text.split_whitespace().next().unwrap_or_default();
        let json = match self.text("proxy_access_log_format") {
            "text" => false,
            "json" => true,
            _ => return Err(self.wrong("proxy_access_log_format", "text or json")),
        };
        Ok(match path {
            "off" | "/dev/null" => None,
            path => Some(AccessLog { path: prefix.join(path), json }),
        })
    }

    fn dns(&self) -> Result<dns::Settings, Failure> {
        let key = if self.given("resolver_address").is_some() { "resolver_address" } else { "dns_resolver" };
        let server = |item: &str| {
            let with_port = || item.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).ok();
            item.parse::<SocketAddr>().ok().or_else(with_port)
        };
        let servers = self.items(key).map(|item| server(item).ok_or_else(|| self.wrong(key, "addresses")));
        let valid_ttl = match self.given("dns_valid_ttl") {
            None => None,
            Some(_) => Some(self.duration("dns_valid_ttl")?),
        };
        Ok(dns::Settings {
            servers: servers.collect::<Result<_, _>>()?,
            valid_ttl,
            ..dns::Settings::default()
        })
    }

    /// Two files, or neither.
    fn certificate(&self, cert: &str, key: &str) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
        match (self.given(cert), self.given(key)) {
            (Some(cert), Some(key)) => Ok(Some((cert.into(), key.into()))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.wrong(key, &format!("a file, because {cert} is set"))),
            (None, Some(_)) => Err(self.wrong(cert, &format!("a file, because {key} is set"))),
        }
    }

    fn admin(&self) -> Result<Admin, Failure> {
        Ok(Admin {
            listen: self.listeners("admin_listen")?,
            insecure: self.switch("admin_insecure")?,
            hosts: self.items("admin_hosts").map(str::to_owned).collect(),
            origins: self.items("admin_origins").map(str::to_owned).collect(),
            certificate: self.certificate("admin_ssl_cert", "admin_ssl_cert_key")?,
            client_ca: self.given("admin_ssl_client_ca").map(PathBuf::from),
            audit: match self.text("admin_audit_log") {
                "log" => Audit::Log,
                "off" => Audit::Off,
                path => Audit::File(PathBuf::from(self.text("prefix")).join(path)),
            },
        })
    }

    fn database(&self) -> Result<Database, Failure> {
        match self.text("database") {
            "off" => Ok(Database::Off),
            "sqlite" => Ok(Database::Sqlite),
            "postgres" => Ok(Database::Postgres(Postgres {
                host: self.text("pg_host").to_owned(),
                port: u16::try_from(self.number("pg_port")?).map_err(|_| self.wrong("pg_port", "a port"))?,
                timeout: Duration::from_millis(self.number("pg_timeout")?.max(1)),
                database: self.text("pg_database").to_owned(),
                schema: self.given("pg_schema").map(str::to_owned),
                ssl: self.switch("pg_ssl")?,
                ssl_verify: self.switch("pg_ssl_verify")?,
                connections: self.number("pg_pool_size")?.clamp(3, 1000) as usize,
            })),
            "" if self.given("declarative_config").is_some() => Ok(Database::Off),
            "" => Ok(Database::Sqlite),
            _ => Err(self.wrong("database", "sqlite, postgres or off")),
        }
    }

    fn last_known_good(&self) -> Result<Option<LkgOptions>, Failure> {
        let Some(file) = self.given("secrets_last_known_good") else { return Ok(None) };
        let key = self
            .given("secrets_last_known_good_key")
            .ok_or_else(|| self.wrong("secrets_last_known_good_key", "a key for secrets_last_known_good"))?;
        let key = match key.strip_prefix("credential:") {
            Some(name) => {
                let directory = self.0.get("credentials_directory").ok_or_else(|| {
                    self.wrong(
                        "secrets_last_known_good_key",
                        "a file: the service manager gave no credentials",
                    )
                })?;
                KeySource::Credential(PathBuf::from(directory.expose()).join(name))
            }
            None => KeySource::File(key.into()),
        };
        Ok(Some(LkgOptions { file: file.into(), key }))
    }
}

/// One listener, in Kong's form: `0.0.0.0:8443 http2 ssl reuseport backlog=16384`.
///
/// # Errors
/// Which part of it is not understood, or not supported.
fn listener(item: &str) -> Result<Listener, String> {
    const FLAGS: &str =
        "ssl, http2, reuseport, deferred, bind, backlog=N, ipv6only=on|off or so_keepalive=on|off";
    let mut words = item.split_whitespace();
    let address = words
        .next()
        .and_then(address)
        .ok_or("expected an address and a port, such as 127.0.0.1:8000 or [::]:8000")?;
    let mut listener = Listener { address, tls: false, http2: false, ipv6_only: true };
    for word in words {
        let (flag, value) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        match (flag, value) {
            ("ssl", None) => listener.tls = true,
            ("http2", None) => listener.http2 = true,
            // Every listener has SO_REUSEPORT, is bound by itself and has the longest queue that the kernel allows.
            ("reuseport" | "deferred" | "bind", None) => {}
            ("backlog", Some(number)) if number.parse::<u32>().is_ok_and(|number| number > 0) => {}
            ("so_keepalive", Some(value)) if is_keepalive(value) => {}
            ("ipv6only", Some("on")) => listener.ipv6_only = true,
            ("ipv6only", Some("off")) if address.is_ipv6() => listener.ipv6_only = false,
            ("ipv6only", Some("off")) => {
                return Err("ipv6only=off needs an IPv6 address, such as [::]:8000".to_owned());
            }
            ("proxy_protocol", None) => return Err(
                "the PROXY protocol is not supported; remove proxy_protocol, and have the load balancer send X-Forwarded-For"
                    .to_owned(),
            ),
            ("backlog" | "so_keepalive" | "ipv6only", _) => {
                return Err(format!("{word} is not a valid flag; expected {FLAGS}"));
            }
            _ => return Err(format!("unknown flag {word}; expected {FLAGS}")),
        }
    }
    Ok(listener)
}

/// nginx's form: on, off, or idle:interval:count with any of them left out.
fn is_keepalive(value: &str) -> bool {
    let is_number = |part: &str| part.is_empty() || duration(part).is_some();
    matches!(value, "on" | "off") || value.split(':').count() == 3 && value.split(':').all(is_number)
}

/// `host:port`; the host is an address, or `localhost`.
fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let port = text.strip_prefix("localhost:")?.parse().ok()?;
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    })
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let bytes = match unit {
        "" => 1,
        "k" | "K" => 1024,
        "m" | "M" => 1024 * 1024,
        "g" | "G" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(given: &[(&str, &str)]) -> Texts {
        given.iter().map(|(key, text)| ((*key).to_owned(), Secret::from(*text))).collect()
    }

    #[test]
    fn without_settings_it_is_as_kong() {
        let node = node(&texts(&[])).unwrap();
        let listen: Vec<_> = node.proxy.listen.iter().map(|l| (l.address.port(), l.tls, l.http2)).collect();
        assert_eq!(listen, [(8000, false, false), (8443, true, true)]);
        assert_eq!(node.status[0].address.to_string(), "127.0.0.1:8007");
        assert_eq!(node.proxy.headers, Headers::default());
        assert_eq!(node.proxy.limits.idle_timeout, Duration::from_secs(75));
        assert_eq!(node.proxy.limits.head_size, 32 * 1024);
    }

    #[test]
    fn nginx_directives_count_under_both_names() {
        let given = [
            ("nginx_http_client_body_timeout", "5s"),
            ("nginx_proxy_client_header_timeout", "500ms"),
            ("nginx_http_client_header_timeout", "9s"),
            ("nginx_proxy_client_max_body_size", "1m"),
            ("nginx_proxy_set_real_ip_from", "10.0.0.0/8"),
            ("nginx_proxy_real_ip_header", "X-Forwarded-For"),
            ("nginx_proxy_real_ip_recursive", "on"),
        ];
        let node = node(&texts(&given)).unwrap();
        let limits = node.proxy.limits;
        assert_eq!(
            (limits.body_timeout, limits.head_timeout),
            (Duration::from_secs(5), Duration::from_millis(500))
        );
        assert_eq!(limits.body_size, 1024 * 1024);
        assert_eq!((node.proxy.real_ip.trusted.len(), node.proxy.real_ip.recursive), (1, true));
        assert!(is_used("nginx_http_client_max_body_size") && !is_used("nginx_http_gzip"));
    }

    #[test]
    fn what_means_nothing_is_named() {
        let cases = [
            ("proxy_listen", "0.0.0.0"),
            ("proxy_listen", "0.0.0.0:80 tls"),
            ("headers", "server_tokens, X-Other"),
            ("trusted_ips", "10.0.0.0/99"),
            ("nginx_proxy_client_body_timeout", "5 s"),
            ("nginx_proxy_large_client_header_buffers", "8k"),
            ("error_default_type", "text/css"),
            ("ssl_cert", "/a"),
            ("database", "cassandra"),
            ("admin_insecure", "maybe"),
            ("proxy_listen", "127.0.0.1:8001"),
            ("proxy_listen", "127.0.0.1:80, 127.0.0.1:80 ssl"),
            ("proxy_listen", "0.0.0.0:80 proxy_protocol"),
            ("proxy_listen", "0.0.0.0:80 ipv6only=off"),
            ("proxy_listen", "[::]:80 ipv6only=maybe"),
            ("proxy_listen", "0.0.0.0:80 backlog=0"),
            ("proxy_listen", "0.0.0.0:80 so_keepalive=1:2"),
            ("status_ssl_cert", "/a"),
            ("secrets_last_known_good", "/a"),
            ("real_ip_header", "proxy_protocol"),
        ];
        for (key, text) in cases {
            let failure = node(&texts(&[(key, text)])).expect_err(key);
            let part = key.trim_end_matches("_key");
            assert!(failure.message.contains(part), "{key}: {}", failure.message);
        }
    }

    #[test]
    fn every_flag_that_kong_has_is_understood_or_refused_by_name() {
        let listen =
            "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384";
        let admin = node(&texts(&[("admin_listen", listen)])).unwrap().admin;
        let flags: Vec<_> = admin.listen.iter().map(|l| (l.address.port(), l.tls, l.http2)).collect();
        assert_eq!((flags, admin.certificate), (vec![(8001, false, false), (8444, true, true)], None));
        for (flags, ipv6_only) in [
            ("", true),
            ("deferred bind so_keepalive=on", true),
            ("so_keepalive=30m::10", true),
            ("ipv6only=on", true),
            ("ipv6only=off ssl", false),
        ] {
            let listener = listener(&format!("[::]:8443 {flags}")).unwrap();
            assert_eq!(listener.ipv6_only, ipv6_only, "{flags}");
        }
        assert!(listener("[::]:80 proxy_protocol").unwrap_err().contains("PROXY protocol is not supported"));
        assert!(listener("[::]:80 sll").unwrap_err().starts_with("unknown flag sll"));
    }
}
