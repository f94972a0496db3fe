//! An example of each plugin, for people and for tests.
//!
//! Owns: a plugin entity each, in YAML, that can be used as it is. Must not know: what its fields mean. Where a plugin takes a
//! credential, the example takes it from a vault.

/// The example of a plugin.
pub fn of(plugin: &str) -> Option<&'static str> {
    let found = EXAMPLES.iter().find(|(name, _)| *name == plugin);
    found.map(|(_, yaml)| yaml.trim_start_matches('\n'))
}

/// Sorted by name.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "acl",
        "
name: acl
config:
  allow: [staff]
",
    ),
    (
        "basic-auth",
        "
name: basic-auth
config:
  hide_credentials: true
",
    ),
    (
        "bot-detection",
        "
name: bot-detection
config:
  deny: [\"scraper\"]
",
    ),
    (
        "correlation-id",
        "
name: correlation-id
config:
  header_name: X-Request-Id
  generator: uuid
  echo_downstream: true
",
    ),
    (
        "cors",
        "
name: cors
config:
  origins: [https://app.example]
  methods: [GET, POST]
  credentials: true
  max_age: 3600
",
    ),
    (
        "file-log",
        "
name: file-log
config:
  path: /var/log/postern/requests.log
",
    ),
    (
        "hmac-auth",
        "
name: hmac-auth
config:
  enforce_headers: [date, \"@request-target\"]
  validate_request_body: true
",
    ),
    (
        "http-log",
        "
name: http-log
config:
  http_endpoint: https://logs.example/ingest
  headers:
    Authorization: \"{vault://env/log-token}\"
  queue:
    max_batch_size: 100
",
    ),
    (
        "ip-restriction",
        "
name: ip-restriction
config:
  allow: [10.0.0.0/8, 192.0.2.7]
",
    ),
    (
        "jwt",
        "
name: jwt
config:
  claims_to_verify: [exp]
",
    ),
    (
        "key-auth",
        "
name: key-auth
config:
  key_names: [apikey]
  hide_credentials: true
",
    ),
    (
        "oauth2-introspection",
        "
name: oauth2-introspection
config:
  introspection_url: https://idp.example/introspect
  authorization_value: \"{vault://env/introspection}\"
  ttl: 60
",
    ),
    (
        "opentelemetry",
        "
name: opentelemetry
config:
  traces_endpoint: https://collector.example/v1/traces
  headers:
    Authorization: \"{vault://env/collector-token}\"
  sampling_rate: 0.1
",
    ),
    (
        "prometheus",
        "
name: prometheus
config:
  status_code_metrics: true
  latency_metrics: true
  bandwidth_metrics: true
",
    ),
    (
        "proxy-cache",
        "
name: proxy-cache
config:
  strategy: memory
  cache_ttl: 60
  content_type: [application/json]
",
    ),
    (
        "rate-limiting",
        "
name: rate-limiting
config:
  minute: 100
  limit_by: consumer
  policy: local
",
    ),
    (
        "redirect",
        "
name: redirect
config:
  location: https://www.example
  keep_incoming_path: true
",
    ),
    (
        "request-size-limiting",
        "
name: request-size-limiting
config:
  allowed_payload_size: 8
  size_unit: megabytes
",
    ),
    (
        "request-termination",
        "
name: request-termination
config:
  status_code: 503
  message: Closed for maintenance
",
    ),
    (
        "request-transformer",
        "
name: request-transformer
config:
  add:
    headers: [\"Authorization:Bearer {vault://env/upstream-token}\"]
",
    ),
    (
        "response-ratelimiting",
        "
name: response-ratelimiting
config:
  limits:
    pages:
      minute: 1000
",
    ),
    (
        "response-transformer",
        "
name: response-transformer
config:
  remove:
    headers: [Server]
  add:
    headers: [\"Strict-Transport-Security:max-age=31536000\"]
",
    ),
    (
        "session",
        "
name: session
config:
  secret: \"{vault://env/session-secret}\"
  cookie_name: session
",
    ),
    (
        "statsd",
        "
name: statsd
config:
  host: statsd.example
",
    ),
    (
        "syslog",
        "
name: syslog
config:
  facility: local0
  client_errors_severity: warning
",
    ),
    (
        "tcp-log",
        "
name: tcp-log
config:
  host: logs.example
  port: 9999
  tls: true
  ssl_verify: true
",
    ),
    (
        "udp-log",
        "
name: udp-log
config:
  host: logs.example
  port: 9999
",
    ),
    (
        "upstream-oauth",
        "
name: upstream-oauth
config:
  client:
    ssl_verify: true
  oauth:
    token_endpoint: https://idp.example/token
    client_id: gateway
    client_secret: \"{vault://env/client-secret}\"
    scopes: [orders]
",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn every_plugin_has_one() {
        for definition in Registry::bundled().0 {
            let name = definition.schema.name;
            let yaml = of(name).unwrap_or_else(|| panic!("no example of {name}"));
            assert!(yaml.starts_with(&format!("name: {name}\n")), "{yaml}");
        }
        assert!(EXAMPLES.iter().map(|(name, _)| name).is_sorted());
    }
}
