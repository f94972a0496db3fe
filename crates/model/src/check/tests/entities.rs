//! Entity by entity: the defaults, and what is refused.

use serde_json::{Value as Json, json};

use super::{checked, said};
use crate::snapshot::Snapshot;

fn snapshot(yaml: &str) -> Snapshot {
    checked(yaml).unwrap_or_else(|said| panic!("{said:#?}")).snapshot
}

/// A record without what tells one entity from another.
fn plain(mut record: Json) -> Json {
    for name in ["id", "created_at", "updated_at", "tags"] {
        record.as_object_mut().expect("a record").remove(name);
    }
    record
}

/// As Kong 3.9 answers them.
#[test]
fn defaults() {
    let yaml = "services: [{name: s, host: h, routes: [{paths: [/]}]}]\nupstreams: [{name: u, targets: [{target: h}]}]\n\
                consumers: [{username: c, keyauth_credentials: [{key: k}]}]\nplugins: [{name: cors}]";
    let all = snapshot(yaml);
    assert_eq!(
        plain(all.services[0].record.to_json()),
        json!({
            "name": "s", "retries": 5, "protocol": "http", "host": "h", "port": 80, "path": null,
            "connect_timeout": 60000, "write_timeout": 60000, "read_timeout": 60000, "client_certificate": null,
            "tls_verify": null, "tls_verify_depth": null, "ca_certificates": null, "enabled": true,
        })
    );
    assert_eq!(
        plain(all.routes[0].record.to_json()),
        json!({
            "name": null, "protocols": ["http", "https"], "methods": null, "hosts": null, "paths": ["/"],
            "headers": null, "https_redirect_status_code": 426, "regex_priority": 0, "strip_path": true,
            "path_handling": "v0", "preserve_host": false, "request_buffering": true, "response_buffering": true,
            "snis": null, "sources": null, "destinations": null, "service": { "id": all.services[0].id },
            "expression": null, "priority": null,
        })
    );
    assert_eq!(
        plain(all.upstreams[0].record.to_json()),
        json!({
            "name": "u", "algorithm": "round-robin", "hash_on": "none", "hash_fallback": "none",
            "hash_on_header": null, "hash_fallback_header": null, "hash_on_cookie": null,
            "hash_on_cookie_path": "/", "hash_on_query_arg": null, "hash_fallback_query_arg": null,
            "hash_on_uri_capture": null, "hash_fallback_uri_capture": null, "slots": 10000, "host_header": null,
            "client_certificate": null, "use_srv_name": false,
            "healthchecks": {
                "threshold": 0,
                "active": {
                    "type": "http", "timeout": 1, "concurrency": 10, "http_path": "/", "https_sni": null,
                    "https_verify_certificate": true, "headers": null,
                    "healthy": { "interval": 0, "successes": 0, "http_statuses": [200, 302] },
                    "unhealthy": {
                        "interval": 0, "tcp_failures": 0, "timeouts": 0, "http_failures": 0,
                        "http_statuses": [429, 404, 500, 501, 502, 503, 504, 505],
                    },
                },
                "passive": {
                    "type": "http",
                    "healthy": {
                        "successes": 0,
                        "http_statuses": [
                            200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306,
                            307, 308,
                        ],
                    },
                    "unhealthy": {
                        "tcp_failures": 0, "timeouts": 0, "http_failures": 0, "http_statuses": [429, 500, 503],
                    },
                },
            },
        })
    );
    assert_eq!(
        plain(all.targets[0].record.to_json()),
        json!({ "target": "h:8000", "weight": 100, "upstream": { "id": all.upstreams[0].id } })
    );
    assert_eq!(plain(all.consumers[0].record.to_json()), json!({ "username": "c", "custom_id": null }));
    assert_eq!(
        plain(all.keyauth_credentials[0].record.to_json()),
        json!({ "key": "k", "ttl": null, "consumer": { "id": all.consumers[0].id } })
    );
    assert_eq!(
        plain(all.plugins[0].record.to_json()),
        json!({
            "name": "cors", "instance_name": null, "route": null, "service": null, "consumer": null,
            "consumer_group": null, "config": { "origins": null, "max_age": null, "credentials": false },
            "protocols": ["grpc", "grpcs", "http", "https"], "enabled": true, "ordering": null, "condition": null,
            "partials": null,
        })
    );
}

/// As data: an entity, the field and column that are to blame, and what is said.
#[test]
fn refused() {
    let cases: &[(&str, &str, &str)] = &[
        ("services: [{}]", "2:12: services[0].host", "required field missing"),
        ("services: [{host: h, prt: 1}]", "2:22: services[0].prt", "unknown field"),
        ("services: [{host: h, port: '80'}]", "2:28: services[0].port", "expected an integer, got a string"),
        (
            "services: [{host: h, port: 65536}]",
            "2:28: services[0].port",
            "value should be between 0 and 65535",
        ),
        (
            "services: [{host: h, port: '{vault://env/p}'}]",
            "2:28: services[0].port",
            "expected an integer, got a string",
        ),
        (
            "services: [{host: h, retries: 1.5}]",
            "2:31: services[0].retries",
            "expected an integer, got a number",
        ),
        (
            "services: [{host: h, connect_timeout: 0}]",
            "2:39: services[0].connect_timeout",
            "value should be between 1 and 2147483646",
        ),
        (
            "services: [{host: h, enabled: 'yes'}]",
            "2:31: services[0].enabled",
            "expected a boolean, got a string",
        ),
        (
            "services: [{host: h, protocol: htp}]",
            "2:32: services[0].protocol",
            "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp, ws, wss",
        ),
        (
            "services: [{host: h, protocol: tcp}]",
            "2:32: services[0].protocol",
            "not supported yet: streams (tcp); the protocols are http, https, grpc, grpcs, ws, wss",
        ),
        ("services: [{host: 'h:80'}]", "2:19: services[0].host", "must not have a port"),
        ("services: [{host: 'h h'}]", "2:19: services[0].host", "invalid value: h h"),
        ("services: [{host: h, path: a}]", "2:28: services[0].path", "should start with: /"),
        ("services: [{host: h, path: /a//b}]", "2:28: services[0].path", "must not have empty segments"),
        ("services: [{host: h, path: /%zz}]", "2:28: services[0].path", "invalid url-encoded value: '%zz'"),
        (
            "services: [{host: h, name: a b}]",
            "2:28: services[0].name",
            "invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, and ~",
        ),
        (
            "services: [{host: h, tls_verify: true}]",
            "2:34: services[0].tls_verify",
            "value must be null, for only the protocols https, grpcs and wss use TLS",
        ),
        ("services: [{host: h, id: x}]", "2:26: services[0].id", "expected a valid UUID"),
        (
            "services: [{url: 'http://u:p@h/', host: i}]",
            "2:18: services[0].url",
            "invalid url: expected protocol://host[:port][/path]",
        ),
        (
            "services: [{url: h}]",
            "2:18: services[0].url",
            "invalid url: expected protocol://host[:port][/path]",
        ),
        (
            "services: [{url: '{vault://env/u}'}]",
            "2:18: services[0].url",
            "must not be a reference to a secret",
        ),
        (
            "routes: [{}]",
            "2:10: routes[0]",
            "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'",
        ),
        (
            "routes: [{protocols: [http]}]",
            "2:10: routes[0]",
            "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'",
        ),
        (
            "routes: [{protocols: [grpc]}]",
            "2:10: routes[0]",
            "must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'",
        ),
        (
            "routes: [{protocols: [grpc], paths: [/a], methods: [GET]}]",
            "2:52: routes[0].methods",
            "cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs'",
        ),
        (
            "routes: [{protocols: [grpc], paths: [/a], strip_path: true}]",
            "2:55: routes[0].strip_path",
            "cannot set 'strip_path' to 'true' when 'protocols' is 'grpc' or 'grpcs'",
        ),
        (
            "routes: [{protocols: [http], paths: [/], snis: [a.test]}]",
            "2:48: routes[0].snis",
            "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'",
        ),
        (
            "routes: [{protocols: [http, grpc], paths: [/]}]",
            "2:22: routes[0].protocols",
            "these sets are mutually exclusive: ('http', 'https'), ('grpc', 'grpcs'), ('ws', 'wss')",
        ),
        ("routes: [{protocols: [], paths: [/]}]", "2:22: routes[0].protocols", "length must be at least 1"),
        ("routes: [{methods: [get]}]", "2:21: routes[0].methods[0]", "invalid value: get"),
        ("routes: [{methods: GET}]", "2:20: routes[0].methods", "expected a set of strings, got a string"),
        (
            "routes: [{paths: [a]}]",
            "2:19: routes[0].paths[0]",
            "should start with: / (fixed path) or ~/ (regex path)",
        ),
        ("routes: [{paths: ['~/(a']}]", "2:19: routes[0].paths[0]", "invalid regex: '/(a' (unclosed group)"),
        (
            "routes: [{hosts: ['a*.test']}]",
            "2:19: routes[0].hosts[0]",
            "invalid wildcard: must be placed at leftmost or rightmost label",
        ),
        (
            "routes: [{hosts: ['*.*']}]",
            "2:19: routes[0].hosts[0]",
            "invalid wildcard: must have at most one wildcard",
        ),
        ("routes: [{hosts: ['a/b']}]", "2:19: routes[0].hosts[0]", "invalid hostname: a/b"),
        (
            "routes: [{headers: {Host: [a]}}]",
            "2:21: routes[0].headers.Host",
            "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
        ),
        (
            "routes: [{headers: {x: a}}]",
            "2:24: routes[0].headers.x",
            "expected a list of strings, got a string",
        ),
        (
            "routes: [{headers: {x: ['~*(']}}]",
            "2:24: routes[0].headers.x",
            "invalid regex: '(' (unclosed group)",
        ),
        (
            "routes: [{headers: {'a b': [a]}}]",
            "2:21: routes[0].headers[\"a b\"]",
            "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
        ),
        (
            "routes: [{paths: [/], https_redirect_status_code: 200}]",
            "2:51: routes[0].https_redirect_status_code",
            "expected one of: 426, 301, 302, 307, 308",
        ),
        (
            "routes: [{paths: [/], sources: [{ip: 10.0.0.1}]}]",
            "2:32: routes[0].sources",
            "not supported yet: routes of streams",
        ),
        (
            "routes: [{paths: [/], expression: 'http.path == \"/\"'}]",
            "2:18: routes[0].paths",
            "cannot be set where 'expression' is",
        ),
        (
            "consumers: [{}]",
            "2:13: consumers[0]",
            "at least one of these fields must be non-empty: 'username', 'custom_id'",
        ),
        ("consumers: [{username: ''}]", "2:24: consumers[0].username", "length must be at least 1"),
        ("consumers: [{username: 12}]", "2:24: consumers[0].username", "expected a string, got an integer"),
        (
            "consumers: [{username: a, acls: [{}]}]",
            "2:34: consumers[0].acls[0].group",
            "required field missing",
        ),
        (
            "consumers: [{username: a, keyauth_credentials: [{key: k, ttl: -1}]}]",
            "2:63: consumers[0].keyauth_credentials[0].ttl",
            "value should be between 0 and 100000000",
        ),
        (
            "upstreams: [{name: '10.0.0.1'}]",
            "2:20: upstreams[0].name",
            "Invalid name; no ip addresses allowed",
        ),
        ("upstreams: [{name: 'h:80'}]", "2:20: upstreams[0].name", "Invalid name; no port allowed"),
        ("upstreams: [{name: a b}]", "2:20: upstreams[0].name", "Invalid name; must be a valid hostname"),
        (
            "upstreams: [{name: u, slots: 9}]",
            "2:30: upstreams[0].slots",
            "value should be between 10 and 65536",
        ),
        (
            "upstreams: [{name: u, hash_on: header}]",
            "2:13: upstreams[0].hash_on_header",
            "required field missing",
        ),
        (
            "upstreams: [{name: u, hash_fallback: ip}]",
            "2:38: upstreams[0].hash_fallback",
            "expected one of: none",
        ),
        (
            "upstreams: [{name: u, hash_on: ip, hash_fallback: ip}]",
            "2:51: upstreams[0].hash_fallback",
            "must differ from hash_on, which is ip already",
        ),
        (
            "upstreams: [{name: u, hash_on: header, hash_on_header: X, hash_fallback: header, hash_fallback_header: x}]",
            "2:104: upstreams[0].hash_fallback_header",
            "values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'",
        ),
        (
            "upstreams: [{name: u, algorithm: sticky-sessions}]",
            "2:34: upstreams[0].algorithm",
            "not supported yet: the algorithm sticky-sessions",
        ),
        ("routes: [{paths: [/], priority: 1}]", "2:33: routes[0].priority", "belongs to an 'expression'"),
        (
            "upstreams: [{name: u, healthchecks: {active: {healthy: {http_statuses: [99]}}}}]",
            "2:73: upstreams[0].healthchecks.active.healthy.http_statuses[0]",
            "value should be between 100 and 999",
        ),
        (
            "upstreams: [{name: u, healthchecks: {passive: {healty: {}}}}]",
            "2:48: upstreams[0].healthchecks.passive.healty",
            "unknown field",
        ),
        (
            "upstreams: [{name: u, targets: [{target: 'h:x'}]}]",
            "2:42: upstreams[0].targets[0].target",
            "Invalid target ('h:x'); not a valid hostname or ip address",
        ),
        (
            "certificates: [{cert: x, key: '{vault://env/k}'}]",
            "2:23: certificates[0].cert",
            "invalid certificate: expected PEM text that begins with -----BEGIN CERTIFICATE-----",
        ),
        (
            "certificates: [{cert: '{vault://env/c}', key: hush}]",
            "2:47: certificates[0].key",
            "invalid key: expected PEM text that begins with -----BEGIN PRIVATE KEY-----",
        ),
        (
            "certificates: [{cert: '{vault://env/c}', key: '{vault://env/k}', cert_alt: '{vault://env/d}'}]",
            "2:16: certificates[0]",
            "all or none of these fields must be set: 'cert_alt', 'key_alt'",
        ),
        (
            "certificates: [{cert: '{vault://env/c}', key: '{vault://env/k}', snis: [{name: '1.2.3.4'}]}]",
            "2:80: certificates[0].snis[0].name",
            "must not be an IP",
        ),
        ("keys: [{kid: a}]", "2:8: keys[0]", "exactly one of these fields must be non-empty: 'jwk', 'pem'"),
        ("keys: [{kid: a, jwk: hush}]", "2:22: keys[0].jwk", "could not json decode jwk string"),
        ("keys: [{kid: a, jwk: '{}'}]", "2:22: keys[0].jwk", "invalid JWK: expected an object with kty"),
        ("keys: [{jwk: '{vault://env/k}'}]", "2:8: keys[0].kid", "required field missing"),
        (
            "services: [{host: h, tags: ['a,b']}]",
            "2:29: services[0].tags[0]",
            "invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences",
        ),
    ];
    let differs = |(yaml, place, message): &(&str, &str, &str)| {
        let said: Vec<_> = said(yaml).into_iter().filter(|line| !line.contains("warning")).collect();
        (said != [format!("{place}: {message}")]).then(|| format!("{yaml}\n--- {said:#?}"))
    };
    let wrong: Vec<_> = cases.iter().filter_map(differs).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As data: what is fine, though it looks odd.
#[test]
fn accepted() {
    let cases = [
        "services: [{host: '::1', enabled: off}]",
        "services: [{host: h, port: 65535, retries: 0, connect_timeout: 1}]",
        "services: [{url: 'https://[::1]:8443/a'}]",
        "services: [{host: '{vault://env/h}', path: '{vault://env/p}', protocol: '{vault://env/s}'}]",
        "services: [{host: h, protocol: https, tls_verify: false, tls_verify_depth: 3, tags: [é, 'a b']}]",
        "routes: [{hosts: ['*.a.test', 'a.*', 'a.*:80', 'a.test:8000']}]",
        "routes: [{headers: {x: [a, b], y: ['~*^a']}, _comment: x, _ignore: [1]}]",
        "routes: [{protocols: [https], snis: ['*.a.test']}]",
        "routes: [{protocols: [grpc], paths: [/a.B/C]}]",
        "routes: [{paths: ['~/a/(?<id>\\d+)$', /ü], methods: [GET, GET]}]",
        "upstreams: [{name: u_1.test, healthchecks: {threshold: 55.5, active: {healthy: {interval: 0.5}}}}]",
        "upstreams: [{name: u, targets: [{target: '[::1]:80'}, {target: '::2'}, {target: '{vault://env/t}', weight: 0}]}]",
        "consumers: [{custom_id: a}, {custom_id: b}]",
        "keys: [{kid: a, pem: {public_key: '{vault://env/k}'}}]",
    ];
    for yaml in cases {
        let said: Vec<_> = said(yaml).into_iter().filter(|line| !line.contains("warning")).collect();
        assert_eq!(said, Vec::<String>::new(), "{yaml}");
    }
}

/// As data: what is read otherwise than it is written.
#[test]
fn settled() {
    let all = snapshot(
        "upstreams: [{name: u, targets: [{target: '::2'}, {target: '[::3]'}, {target: '[::4]:1'}, {target: a}]}]\n\
         routes: [{methods: [GET, PUT, GET], paths: [/a, /a]}]\n\
         consumers: [{username: c, groups: [{name: g}]}]\nconsumer_groups: [{name: g, consumers: [{username: c}]}]",
    );
    let targets: Vec<_> = all.targets.iter().filter_map(|entry| entry.record.text("target")).collect();
    assert_eq!(targets, ["[::2]:8000", "[::3]:8000", "[::4]:1", "a:8000"]);
    let route = all.routes[0].record.to_json();
    assert_eq!((&route["methods"], &route["paths"]), (&json!(["GET", "PUT"]), &json!(["/a", "/a"])));
    assert_eq!(all.group_members.len(), 1);
}

/// What comes out of a vault obeys the rules that hold for what stands in the file, and is not quoted.
#[test]
fn filled_from_a_vault() {
    let yaml = "services: [{host: '{vault://env/h}', path: '{vault://env/p}', protocol: '{vault://env/s}'}]\n\
                upstreams: [{name: u, targets: [{target: '{vault://env/t}'}]}]\n\
                certificates: [{cert: '{vault://env/c}', key: '{vault://env/k}'}]\n\
                consumers: [{username: '{vault://env/n}', basicauth_credentials: [{username: a, password: '{vault://env/w}'}]}]";
    let all = snapshot(yaml);
    let service = &all.services[0];
    // Values come in the order of the references, which is that of the field list.
    let names: Vec<_> = service.templates().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["{vault://env/s}", "{vault://env/h}", "{vault://env/p}"]);
    let fill = |values: [&str; 3]| service.fill(&values.map(Into::into));
    assert_eq!(&*fill(["https", "h", "/p"]).expect("fine").host, "h");
    assert_eq!(fill(["https", "hush hush", "/p"]).expect_err("a host"), "host: invalid value");
    assert_eq!(fill(["https", "h", "hush"]).expect_err("a path"), "path: invalid value");
    assert!(
        fill(["hush", "h", "/p"]).expect_err("a protocol").starts_with("protocol: expected one of: grpc")
    );
    assert!(
        service.fill(&["https".into()]).expect_err("too few").contains("a reference that is not resolved")
    );
    assert_eq!(&*all.targets[0].fill(&["h".into()]).expect("fine").target, "h:8000");
    let error = all.certificates[0].fill(&["hush".into(), "hush".into()]).expect_err("PEM");
    assert_eq!(error, "cert: invalid value");
    assert_eq!(
        all.consumers[0].fill(&["".into()]).expect_err("empty"),
        "username: length must be at least 1"
    );
}

/// A text out of the environment is not quoted, whatever is wrong with it.
#[test]
fn the_environment_is_not_quoted() {
    let cases = [
        "services: [{host: '${{ env \"DECK_CLIENT_SECRET\" }} x'}]",
        "services: [{host: h, path: '${{ env \"DECK_CLIENT_SECRET\" }}'}]",
        "services: [{host: h, name: '${{ env \"DECK_CLIENT_SECRET\" }} '}]",
        "services: [{url: '${{ env \"DECK_CLIENT_SECRET\" }}'}]",
        "services: [{host: h, '${{ env \"DECK_CLIENT_SECRET\" }}': 1}]",
        "routes: [{paths: ['~/(${{ env \"DECK_CLIENT_SECRET\" }}']}]",
        "routes: [{headers: {'a ${{ env \"DECK_CLIENT_SECRET\" }}': [a]}}]",
        "routes: [{paths: [/], service: '${{ env \"DECK_CLIENT_SECRET\" }}'}]",
        "routes: [{paths: [/], service: {name: '${{ env \"DECK_CLIENT_SECRET\" }}'}}]",
        "plugins: [{name: '${{ env \"DECK_CLIENT_SECRET\" }}'}]",
        "plugins: [{name: cors, _config: '${{ env \"DECK_CLIENT_SECRET\" }}'}]",
        "plugins: [{name: cors, _config: a}]\n_plugin_configs: {'${{ env \"DECK_CLIENT_SECRET\" }}': 1}",
        "services: [{host: h, tags: ['${{ env \"DECK_CLIENT_SECRET\" }},']}]",
        "services: [{host: h, name: '${{ env \"DECK_CLIENT_SECRET\" }}'}, {host: i, name: '${{ env \"DECK_CLIENT_SECRET\" }}'}]",
        "upstreams: [{name: u, targets: [{target: '${{ env \"DECK_CLIENT_SECRET\" }}:x'}]}]",
        "_info: {defaults: {'${{ env \"DECK_CLIENT_SECRET\" }}': {}}}",
        "services: [{host: h, protocol: https, ca_certificates: ['${{ env \"DECK_CLIENT_SECRET\" }}']}]",
    ];
    for yaml in cases {
        let violations = checked(yaml).expect_err(yaml);
        assert!(!format!("{violations:?}").contains("s3cret"), "{yaml}: {violations:?}");
    }
}

/// `url` counts, whatever stands beside it in the fields that it is short for.
#[test]
fn a_url_beside_the_fields_that_it_stands_for() {
    type Parts = (&'static str, &'static str, i64, Option<&'static str>);
    let cases: &[(&str, Parts)] = &[
        ("{url: 'http://h.test:4000/socket', protocol: ws}", ("http", "h.test", 4000, Some("/socket"))),
        ("{url: 'http://h.test:3000/', port: 3001, host: i, path: /x}", ("http", "h.test", 3000, Some("/"))),
        ("{url: 'https://h.test', port: 80}", ("https", "h.test", 443, None)),
        ("{url: 'https://h.test', path: /kept}", ("https", "h.test", 443, Some("/kept"))),
        ("{url: 'http://h.test', host: null, port: null}", ("http", "h.test", 80, None)),
        ("{url: null, host: h.test}", ("http", "h.test", 80, None)),
        ("{url: 'https://h.test/npm/@scope/pkg'}", ("https", "h.test", 443, Some("/npm/@scope/pkg"))),
        ("{url: 'http://h.test/a?x=1'}", ("http", "h.test", 80, Some("/a"))),
        ("{url: 'http://h.test/a#b/@c?d'}", ("http", "h.test", 80, Some("/a"))),
        ("{url: 'http://h.test?x=/@'}", ("http", "h.test", 80, None)),
    ];
    for (service, (protocol, host, port, path)) in cases {
        let all = checked(&format!("services: [{service}]")).expect(service);
        let record = &all.snapshot.services[0].record;
        assert_eq!(
            (record.text("protocol"), record.text("host")),
            (Some(*protocol), Some(*host)),
            "{service}"
        );
        assert_eq!(
            (record.get("port"), record.text("path")),
            (Some(&crate::Value::Integer(*port)), *path),
            "{service}"
        );
    }
}

/// `[]` where a mapping is meant and `{}` where a list is are both the empty table.
#[test]
fn empty_lists_and_mappings_are_one_thing() {
    let yaml = "consumers: {}\nservices: [{host: h, routes: {}, tags: {}}]\n\
                routes: [{paths: [/], headers: [], hosts: {}}]\n\
                upstreams: [{name: u, healthchecks: [], targets: {}}]\nplugins: [{name: cors, config: []}]";
    let all = checked(yaml).expect("each of them is right");
    let json = all.snapshot.routes[0].record.to_json();
    assert_eq!((&json["headers"], &json["hosts"]), (&serde_json::json!({}), &serde_json::json!([])));
    assert_eq!(all.snapshot.upstreams[0].record.to_json()["healthchecks"]["active"]["timeout"], 1);
    assert!(checked("routes: [{paths: [/], headers: [a]}]").is_err());
    assert!(checked("routes: [{paths: {a: b}}]").is_err());
}

/// Neither a name of a group nor a label of a host is looked at for what Kong does not look at.
#[test]
fn names_as_kong_takes_them() {
    let long = format!("{}.example", "a".repeat(64));
    let key = "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----";
    let fine = [
        "consumer_groups: [{name: 'Custom Web Services'}]".to_owned(),
        format!("services: [{{host: {long}}}]"),
        format!("routes: [{{hosts: [{long}, '*.{long}', '{long}:80'], snis: [{long}], paths: [/]}}]"),
        format!("upstreams: [{{name: {long}, targets: [{{target: '{long}:80'}}]}}]"),
        "consumers: [{username: u, jwt_secrets: [{key: k, secret: s, rsa_public_key: x}]}]".to_owned(),
        format!(
            "consumers: [{{username: u, jwt_secrets: [{{key: k, algorithm: RS256, rsa_public_key: \"{key}\"}}]}}]"
        ),
    ];
    for yaml in fine {
        checked(&yaml).expect(&yaml);
    }
    assert_eq!(
        said(
            "consumers: [{username: u, jwt_secrets: [{key: k, secret: s, algorithm: RS256, rsa_public_key: x}]}]"
        ),
        [
            "2:95: consumers[0].jwt_secrets[0].rsa_public_key: invalid key: expected PEM text that begins with \
             -----BEGIN PUBLIC KEY-----"
        ]
    );
}
