//! The same configuration in decK's form and in the DB-less form; older versions; what nests where; identifiers.

use super::{checked, read, said};
use crate::snapshot::Snapshot;
use crate::value::Record;

const DECK: &str = r"
certificates:
- { id: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0, cert: *cert, key: *key, snis: [{ name: a.test }] }
key_sets: [{ name: ks }]
keys: [{ name: k, kid: one, set: { name: ks }, jwk: '{\x22kty\x22: \x22oct\x22}' }]
services:
- name: s
  url: https://h.test/p
  client_certificate: { id: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0 }
  plugins: [{ name: cors }]
  routes:
  - { name: r, paths: [/r], plugins: [{ name: key-auth, _config: shared, config: { realm: own } }] }
routes: [{ name: alone, hosts: [a.test], service: { name: s } }]
consumers:
- username: c
  custom_id: '7'
  groups: [{ name: g }]
  keyauth_credentials: [{ key: k1 }, { key: k2 }]
  basicauth_credentials: [{ username: u, password: p }]
  acls: [{ group: admins }]
consumer_groups: [{ name: g }]
upstreams: [{ name: u.test, targets: [{ target: '10.0.0.1:80' }, { target: h2 }] }]
plugins: [{ name: cors, route: alone }]
_plugin_configs: { shared: { key_names: [x], realm: theirs } }
";

const DB_LESS: &str = r"
plugins:
- { name: cors, service: s }
- { name: key-auth, route: r, config: { key_names: [x], realm: own } }
- { name: cors, route: alone }
targets: [{ upstream: u.test, target: '10.0.0.1:80' }, { upstream: u.test, target: h2 }]
upstreams: [{ name: u.test }]
consumer_group_consumers: [{ consumer: c, consumer_group: g }]
consumer_groups: [{ name: g }]
acls: [{ consumer: c, group: admins }]
basicauth_credentials: [{ consumer: c, username: u, password: p }]
keyauth_credentials: [{ consumer: c, key: k1 }, { consumer: c, key: k2 }]
consumers: [{ username: c, custom_id: '7' }]
routes: [{ name: r, paths: [/r], service: s }, { name: alone, hosts: [a.test], service: s }]
services:
- { name: s, protocol: https, host: h.test, port: 443, path: /p,
    client_certificate: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0 }
key_sets: [{ name: ks, keys: [{ name: k, kid: one, jwk: '{\x22kty\x22: \x22oct\x22}' }] }]
certificates: [{ id: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0, cert: *cert, key: *key }]
snis: [{ name: a.test, certificate: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0 }]
";

/// The shape of PEM is all that is looked at.
const PEM: &str = "_ignore:\n\
    - &cert \"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\"\n\
    - &key \"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\"\n";

fn whole(yaml: &str) -> Snapshot {
    checked(&format!("{PEM}{}", yaml.replace("\\x22", "\"")))
        .unwrap_or_else(|said| panic!("{said:#?}"))
        .snapshot
}

/// Every record of a configuration, sorted.
fn records(snapshot: &Snapshot) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |name: &str, record: &Record| all.push(format!("{name} {}", record.to_json()));
    let lists = snapshot;
    lists.services.iter().for_each(|entry| add("service", &entry.record));
    lists.routes.iter().for_each(|entry| add("route", &entry.record));
    lists.consumers.iter().for_each(|entry| add("consumer", &entry.record));
    lists.consumer_groups.iter().for_each(|entry| add("group", &entry.record));
    lists.keyauth_credentials.iter().for_each(|entry| add("key-auth", &entry.record));
    lists.basicauth_credentials.iter().for_each(|entry| add("basic-auth", &entry.record));
    lists.acls.iter().for_each(|entry| add("acl", &entry.record));
    lists.plugins.iter().for_each(|entry| add("plugin", &entry.record));
    lists.upstreams.iter().for_each(|entry| add("upstream", &entry.record));
    lists.targets.iter().for_each(|entry| add("target", &entry.record));
    lists.certificates.iter().for_each(|entry| add("certificate", &entry.record));
    lists.snis.iter().for_each(|entry| add("sni", &entry.record));
    lists.key_sets.iter().for_each(|entry| add("key set", &entry.record));
    lists.keys.iter().for_each(|entry| add("key", &entry.record));
    all.sort();
    all
}

#[test]
fn both_forms_say_the_same() {
    let (deck, db_less) = (whole(DECK), whole(DB_LESS));
    assert_eq!(records(&deck), records(&db_less));
    assert_eq!(records(&deck).len(), 19);
    assert_eq!(deck.group_members, db_less.group_members);
    assert_eq!(deck.group_members, [(deck.consumers[0].id, deck.consumer_groups[0].id)]);
    let service = deck.services[0].value.as_ref().expect("no references");
    assert_eq!((service.port, service.path.as_deref()), (443, Some("/p")));
    let targets: Vec<_> = deck.targets.iter().filter_map(|entry| entry.record.text("target")).collect();
    assert_eq!(targets, ["10.0.0.1:80", "h2:8000"]);
    assert!(deck.plugins.iter().all(|plugin| plugin.value.is_some()));
}

/// Pinned: a change would rename everything that everybody has. The values are those of Kong's rule.
#[test]
fn identifiers_follow_from_names() {
    let snapshot = whole(DECK);
    assert_eq!(snapshot.services[0].id.to_string(), SERVICE_ID);
    assert_eq!(
        snapshot.acls[0].id,
        crate::entity::id::by_cache_key("acls", &[&snapshot.consumers[0].id.to_string(), "admins"])
    );
    let again = whole(DB_LESS);
    assert_eq!(snapshot.keyauth_credentials[1].id, again.keyauth_credentials[1].id);
    assert_ne!(snapshot.keyauth_credentials[0].id, snapshot.keyauth_credentials[1].id);
}

const SERVICE_ID: &str = "b268827a-8f7f-551f-8769-e6bceb2f3ec6";

#[test]
fn an_identifier_does_not_follow_from_a_credential() {
    let id = |key: &str| {
        let yaml = format!("consumers: [{{username: c, keyauth_credentials: [{{key: {key}}}]}}]");
        checked(&yaml).expect("checks").snapshot.keyauth_credentials[0].id
    };
    assert_eq!(id("one"), id("two"));
}

#[test]
fn paths_before_3_0() {
    let paths = |version: &str| {
        let yaml = format!(
            "_format_version: '{version}'\nroutes: [{{name: r, paths: [/a, '/b/\\d+', '/a(b)', '~/c']}}]"
        );
        let checked =
            read(yaml.as_bytes(), &|_| None).and_then(|document| super::check(document, &Vec::new()));
        checked
            .map(|checked| checked.snapshot.routes[0].record.to_json()["paths"].clone())
            .map_err(|said| said.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let said = paths("3.0").expect_err("an expression without ~");
    assert_eq!(
        said,
        [
            "2:32: routes[0].paths[1]: invalid path: '/b/\\d+' (characters outside of the reserved list of RFC 3986 found)",
            "2:32: warning: routes[0].paths[1]: looks like a regular expression, but is taken as it stands",
            "2:42: warning: routes[0].paths[2]: looks like a regular expression, but is taken as it stands",
        ]
    );
    for version in ["1.1", "2.1"] {
        assert_eq!(paths(version), Ok(serde_json::json!(["/a", "~/b/\\d+", "~/a(b)", "~/c"])), "{version}");
    }
}

#[test]
fn defaults_of_the_file() {
    let yaml = "_info: {defaults: {service: {retries: 2, port: 81}, upstream: {healthchecks: {active: {timeout: 3}}}}}\n\
                services: [{name: a, host: h}, {name: b, host: h, retries: 0}]\n\
                upstreams: [{name: u, healthchecks: {active: {concurrency: 1}}}]";
    let snapshot = checked(yaml).expect("checks").snapshot;
    let service = |index: usize| snapshot.services[index].value.clone().expect("no references");
    assert_eq!((service(0).retries, service(0).port), (2, 81));
    assert_eq!((service(1).retries, service(1).port), (0, 81));
    let active = snapshot.upstreams[0].value.clone().expect("no references").healthchecks.active;
    assert_eq!((active.timeout, active.concurrency), (3.0, 1));
    assert_eq!(
        said("_info: {defaults: {service: {name: x}, rote: {}, target: 1}}"),
        [
            "2:30: _info.defaults.service.name: cannot have a default",
            "2:40: _info.defaults.rote: unknown field",
            "2:58: _info.defaults.target: expected a mapping, got an integer",
        ]
    );
}

#[test]
fn tags_of_the_file() {
    let yaml = "_info: {select_tags: [b, a]}\nservices: [{host: h, tags: [x, a]}, {host: i}]";
    let snapshot = checked(yaml).expect("checks").snapshot;
    let tags: Vec<_> =
        snapshot.services.iter().map(|service| service.record.to_json()["tags"].clone()).collect();
    assert_eq!(tags, [serde_json::json!(["x", "a", "b"]), serde_json::json!(["a", "b"])]);
}

/// As data: a document, and all that is said of it.
#[test]
fn who_refers_to_whom() {
    let cases: &[(&str, &[&str])] = &[
        (
            "services: [{name: api, host: h}]\nroutes: [{paths: [/], service: apj}]",
            &["3:32: routes[0].service: invalid reference 'service: apj' (no such entry in 'services')"],
        ),
        (
            "routes: [{paths: [/], service: {id: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0}}]",
            &[
                "2:32: routes[0].service: invalid reference 'service: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0' (no such entry in 'services')",
            ],
        ),
        (
            "routes: [{paths: [/], service: {nme: a}}]",
            &["2:32: routes[0].service: expected a record with one of: id, name"],
        ),
        (
            "routes: [{paths: [/], service: 1}]",
            &["2:32: routes[0].service: expected a name or an id, got an integer"],
        ),
        (
            "routes: [{paths: [/], service: '{vault://env/x}'}]",
            &["2:32: routes[0].service: must not be a reference to a secret"],
        ),
        ("snis: [{name: a.test}]", &["2:8: snis[0].certificate: required field missing"]),
        (
            "services: [{name: a, host: h}, {name: b, host: h, routes: [{paths: [/], service: a}]}]",
            &["2:82: services[1].routes[0].service: names another service than the one in which this stands"],
        ),
        (
            "services: [{name: a, host: h}, {name: a, host: i}]",
            &[
                "2:39: services[1].name: uniqueness violation: 'services' entity with name set to 'a' already declared",
            ],
        ),
        (
            "consumers: [{username: a, keyauth_credentials: [{key: hush}]}, {username: b, keyauth_credentials: [{key: hush}]}]",
            &[
                "2:106: consumers[1].keyauth_credentials[0].key: uniqueness violation: 'keyauth_credentials' entity with key set to '***' already declared",
            ],
        ),
        (
            "upstreams: [{name: u, targets: [{target: h}, {target: 'h:8000'}]}]",
            &[
                "2:46: upstreams[0].targets[1]: uniqueness violation: 'targets' entity with the same upstream, target already declared",
            ],
        ),
        (
            "consumers: [{username: a, acls: [{group: g}, {group: g}], groups: [{name: g}, {nme: g}]}]\nconsumer_groups: [{name: g, consumers: [{username: a}]}]",
            &[
                "2:46: consumers[0].acls[1]: uniqueness violation: 'acls' entity with the same consumer, group already declared",
                "2:79: consumers[0].groups[1].consumer_group: expected a record with one of: id, name",
            ],
        ),
        (
            "services: [{host: h, protocol: https, ca_certificates: [6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0]}]",
            &[
                "2:56: services[0].ca_certificates: the following CA certificates don't exist: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0",
            ],
        ),
        (
            "consumer_group_plugins: [{name: key-auth}]",
            &["2:26: consumer_group_plugins[0].consumer_group: required field missing"],
        ),
        (
            "services: [{host: h, routes: {a: b}}]",
            &["2:30: services[0].routes: expected a list of mappings, got a mapping"],
        ),
        (
            "services: [{host: h, routes: [1]}]",
            &["2:31: services[0].routes[0]: expected a mapping, got an integer"],
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(said(yaml), *expected, "{yaml}");
    }
}

#[test]
fn a_small_file_that_stands_for_a_huge_one() {
    let shared: String = (0..5000).map(|n| format!("k{n}: [a], ")).collect();
    let routes = "- {paths: [/]}\n".repeat(200);
    let yaml = format!("_info: {{defaults: {{route: {{headers: {{{shared}}}}}}}}}\nroutes:\n{routes}");
    assert!(
        said(&yaml)
            .iter()
            .any(|line| line.ends_with("more than 1000000 values, with shared ones written out"))
    );
}
