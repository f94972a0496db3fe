//! A row that is wrong is left out and told of, every other one takes effect, and it heals when it is mended.

use crate::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};

use super::*;

const LIMIT: PluginSchema = PluginSchema {
    name: "limit",
    priority: 1,
    version: "1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer"],
    config: Schema { fields: &[Field::integer("most").rules(&[Rule::Between(0.0, 10.0)])], checks: &[] },
    doc: "",
};

fn object(json: Json) -> Map<String, Json> {
    json.as_object().cloned().unwrap()
}

/// One good row of many kinds; numbers are identifiers.
fn good() -> Vec<(&'static str, u8, Json)> {
    vec![
        ("vaults", 1, json!({"id": id(1), "name": "env", "prefix": "my-env", "config": {"prefix": "A_"}})),
        ("upstreams", 2, json!({"id": id(2), "name": "up.example"})),
        ("services", 3, json!({"id": id(3), "name": "one", "host": "up.example"})),
        ("routes", 4, json!({"id": id(4), "name": "r", "paths": ["/"], "service": {"id": id(3)}})),
        ("consumers", 5, json!({"id": id(5), "username": "alice"})),
        ("keyauth_credentials", 6, json!({"id": id(6), "key": "secret-key", "consumer": {"id": id(5)}})),
        ("consumer_groups", 7, json!({"id": id(7), "name": "gold"})),
        (
            "consumer_group_consumers",
            8,
            json!({"id": id(8), "consumer": {"id": id(5)}, "consumer_group": {"id": id(7)}}),
        ),
        ("plugins", 9, json!({"id": id(9), "name": "limit", "route": {"id": id(4)}, "config": {"most": 1}})),
        ("acls", 10, json!({"id": id(10), "group": "g", "consumer": {"id": id(5)}})),
    ]
}

fn put(rows: &mut Rows, kind: &str, n: u8, json: Json) {
    rows.put(kind, id(n), object(json), &vec![&LIMIT]);
}

fn all_good() -> Rows {
    let mut rows = Rows::default();
    for (kind, n, json) in good() {
        put(&mut rows, kind, n, json);
    }
    rows
}

/// Places of what is broken.
fn broken(snapshot: &Snapshot) -> Vec<(&str, Uuid)> {
    snapshot.broken.iter().map(|broken| (broken.kind.as_str(), broken.id)).collect()
}

/// How many of everything there are.
fn count(snapshot: &Snapshot) -> usize {
    snapshot.vaults.len()
        + snapshot.group_members.len()
        + snapshot.services.len()
        + snapshot.routes.len()
        + snapshot.consumers.len()
        + snapshot.consumer_groups.len()
        + snapshot.keyauth_credentials.len()
        + snapshot.acls.len()
        + snapshot.plugins.len()
        + snapshot.upstreams.len()
}

/// A row that is wrong by itself: kind, number (that of the good one), body, what is said of it.
fn wrong() -> Vec<(&'static str, u8, Json, &'static str)> {
    let missing = id(200);
    vec![
        ("vaults", 1, json!({"name": "env", "prefix": "my-env", "config": {"nobody": 1}}), "unknown field"),
        (
            "vaults",
            1,
            json!({"name": "env", "prefix": 5}),
            "vaults[00000000-0000-0000-0000-000000000002].prefix",
        ),
        ("vaults", 1, json!({"name": "aws", "prefix": "my-env"}), "is not installed"),
        ("upstreams", 2, json!({"name": "up.example", "slots": "many"}), "slots: expected an integer"),
        ("services", 3, json!({"name": "one", "host": 5}), "services[one].host: expected a string"),
        ("services", 3, json!({"name": "one"}), "services[one].host: required field missing"),
        (
            "services",
            3,
            json!({"name": "one", "host": "h", "newer": true}),
            "services[one].newer: unknown field",
        ),
        (
            "services",
            3,
            json!({"name": "one", "host": "h", "routes": []}),
            "services[one].routes: unknown field",
        ),
        ("services", 3, json!({"name": "one", "host": "{vault://}"}), "services[one].host: "),
        ("services", 3, json!({"id": id(99), "name": "one", "host": "h"}), "services[one].id: another one"),
        ("services", 3, json!({}), "host: required field missing"),
        (
            "routes",
            4,
            json!({"name": "r", "paths": ["/"], "service": {"id": missing}}),
            "no such entry in 'services'",
        ),
        (
            "routes",
            4,
            json!({"name": "r", "paths": ["/"], "service": {"name": "one"}}),
            "routes[r].service: ",
        ),
        ("routes", 4, json!({"name": "r", "paths": "/"}), "paths: expected a list"),
        ("consumers", 5, json!({"username": {"a": 1}}), "username: expected a string"),
        (
            "keyauth_credentials",
            6,
            json!({"key": "secret-key", "consumer": {"id": missing}}),
            "no such entry",
        ),
        ("keyauth_credentials", 6, json!({"key": 7, "consumer": {"id": id(5)}}), "key: expected a string"),
        ("keyauth_credentials", 6, json!({"key": "secret-key"}), "consumer: required field missing"),
        ("consumer_groups", 7, json!({"name": null}), "name: required field missing"),
        (
            "consumer_group_consumers",
            8,
            json!({"consumer": {"id": missing}, "consumer_group": {"id": id(7)}}),
            "no such entry in 'consumers'",
        ),
        ("plugins", 9, json!({"name": "limit", "config": {"most": 11}}), "value should be between"),
        ("plugins", 9, json!({"name": "of-another-version"}), "plugin 'of-another-version' not enabled"),
        ("plugins", 9, json!({"name": "limit", "consumer": {"id": id(5)}}), "value must be null"),
        ("plugins", 9, json!({"name": "limit", "protocols": ["tcp"]}), "expected one of: "),
        ("plugins", 9, json!({"name": "limit", "config": {"most": "{vault://}"}}), "plugins["),
        ("acls", 10, json!({"group": "g", "consumer": {"id": missing}}), "no such entry in 'consumers'"),
        ("partials", 11, json!({"name": "of-another-version"}), "partials[of-another-version]: no such kind"),
    ]
}

#[test]
fn each_is_left_out_alone_and_heals() {
    for (kind, n, json, expected) in wrong() {
        let mut rows = all_good();
        // Before and after the first look at what was read.
        for _ in 0..2 {
            put(&mut rows, kind, n, json.clone());
            for _ in 0..2 {
                let (snapshot, _) = rows.snapshot();
                assert_eq!(broken(&snapshot), [(kind, id(n))], "{kind} {json}");
                let told = snapshot.broken[0].to_string();
                assert!(told.contains(expected), "{kind} {json}: {told}");
                assert!(!format!("{:?}", snapshot.broken).contains("secret-key"), "{:?}", snapshot.broken);
                let others = if kind == "partials" { good().len() } else { good().len() - 1 };
                assert_eq!(count(&snapshot), others, "{kind} {json}");
            }
            rows.remove(kind, id(n));
            for (kind, n, json) in good().into_iter().filter(|(other, ..)| *other == kind) {
                put(&mut rows, kind, n, json);
            }
            let (snapshot, _) = rows.snapshot();
            assert_eq!((broken(&snapshot), count(&snapshot)), (vec![], good().len()), "{kind} {json}");
        }
    }
}

#[test]
fn who_refers_to_a_broken_one_is_whole() {
    let mut rows = all_good();
    put(&mut rows, "services", 3, json!({"name": "one", "host": 5}));
    rows.put_unreadable("consumers", id(5), "its body is no JSON", None);
    let (snapshot, _) = rows.snapshot();
    assert_eq!(broken(&snapshot), [("consumers", id(5)), ("services", id(3))]);
    assert_eq!((snapshot.routes.len(), snapshot.keyauth_credentials.len(), snapshot.acls.len()), (1, 1, 1));
    // But where it is gone for good, nobody can refer to it; of credentials a store sees to that itself.
    rows.remove("services", id(3));
    assert_eq!(broken(&rows.snapshot().0), [("consumers", id(5)), ("routes", id(4))]);
    put(&mut rows, "services", 3, json!({"name": "one", "host": "h"}));
    assert_eq!(broken(&rows.snapshot().0), [("consumers", id(5))]);
}

#[test]
fn what_came_late_heals_who_waited_for_it() {
    let mut rows = Rows::default();
    let key = |n: u8| json!({"id": id(n), "key": format!("k{n}"), "consumer": {"id": id(5)}});
    put(&mut rows, "keyauth_credentials", 6, key(6));
    assert_eq!(broken(&rows.snapshot().0), [("keyauth_credentials", id(6))]);
    put(&mut rows, "keyauth_credentials", 4, key(4));
    let (snapshot, _) = rows.snapshot();
    assert_eq!(broken(&snapshot), [("keyauth_credentials", id(4)), ("keyauth_credentials", id(6))]);
    assert_eq!(snapshot.broken[0].remains.reference("consumer"), Part::Known(id(5)));
    put(&mut rows, "consumers", 5, json!({"username": "alice"}));
    let (snapshot, _) = rows.snapshot();
    assert_eq!((broken(&snapshot), snapshot.keyauth_credentials.len()), (vec![], 2));
}

#[test]
fn of_two_that_share_what_only_one_may_have() {
    // The first one stays; of credentials, none.
    let cases = [
        ("vaults", json!({"name": "env", "prefix": "my-env"}), vec![101], "prefix"),
        ("upstreams", json!({"name": "up.example"}), vec![101], "name"),
        ("services", json!({"name": "one", "host": "h"}), vec![101], "name"),
        ("consumers", json!({"username": "alice"}), vec![101], "username"),
        ("keyauth_credentials", json!({"key": "secret-key", "consumer": {"id": id(5)}}), vec![6, 101], "key"),
        ("plugins", json!({"name": "limit", "route": {"id": id(4)}}), vec![101], "route"),
        ("acls", json!({"group": "g", "consumer": {"id": id(5)}}), vec![101], "consumer, group"),
    ];
    for (kind, json, expected, field) in cases {
        let mut rows = all_good();
        put(&mut rows, kind, 101, json.clone());
        let (snapshot, _) = rows.snapshot();
        let expected: Vec<_> = expected.into_iter().map(|n| (kind, id(n))).collect();
        assert_eq!(broken(&snapshot), expected, "{kind}");
        let told = snapshot.broken[0].to_string();
        assert!(told.contains("uniqueness violation") && told.contains(field), "{told}");
        assert!(!told.contains("secret-key"), "{told}");
        assert_eq!(count(&snapshot), good().len() + 1 - expected.len(), "{kind}");
        // It heals when either goes, and breaks no more when it is written once more.
        put(&mut rows, kind, 101, json.clone());
        assert_eq!(broken(&rows.snapshot().0), expected, "{kind}: put again");
        rows.remove(kind, id(101));
        assert_eq!(broken(&rows.snapshot().0), [], "{kind}");
    }
}

#[test]
fn vaults_in_a_circle_are_broken_and_no_others() {
    let vault = |n: u8, prefix: &str, from: &str| json!({"id": id(n), "name": "env", "prefix": prefix, "config": {"prefix": format!("{{vault://{from}/x}}")}});
    let mut rows = all_good();
    // b → c → b, d → c, and c → e → b by another way round; f needs one of them, and is whole.
    let hcv = |n: u8, prefix: &str, one: &str, two: &str| {
        let reference = |name: &str| format!("{{vault://{name}/x}}");
        json!({"id": id(n), "name": "hcv", "prefix": prefix,
               "config": {"host": reference(one), "token": reference(two), "auth_method": "token"}})
    };
    put(&mut rows, "vaults", 20, vault(20, "bb", "cc"));
    put(&mut rows, "vaults", 21, vault(21, "cc", "bb"));
    put(&mut rows, "vaults", 22, vault(22, "ff", "cc"));
    put(&mut rows, "vaults", 23, hcv(23, "hh", "ff", "my-env"));
    // A vault that needs a login may not be in the settings of another.
    put(&mut rows, "vaults", 24, vault(24, "gg", "hh"));
    let (snapshot, _) = rows.snapshot();
    assert_eq!(broken(&snapshot), [("vaults", id(20)), ("vaults", id(21)), ("vaults", id(24))]);
    let names: Vec<_> = snapshot.broken.iter().map(|broken| broken.remains.name.known().unwrap()).collect();
    assert_eq!(names, ["bb", "cc", "gg"]);
    assert!(snapshot.broken[0].to_string().contains("the vault needs itself: "), "{}", snapshot.broken[0]);
    assert!(snapshot.broken[2].to_string().contains("env or fs vault only"), "{}", snapshot.broken[2]);
    let prefixes: Vec<_> = snapshot.vaults.iter().map(|vault| vault.prefix.as_str()).collect();
    assert_eq!(prefixes, ["my-env", "ff", "hh"]);
    put(&mut rows, "vaults", 20, vault(20, "bb", "my-env"));
    assert_eq!(broken(&rows.snapshot().0), [("vaults", id(24))]);
}

#[test]
fn what_remains_can_be_read() {
    use Part::{Absent, Known, Unreadable};
    let (route, service, consumer, group) = (Known(id(4)), Known(id(3)), Known(id(5)), Known(id(7)));
    let scope = |broken: &Broken| {
        ["route", "service", "consumer", "consumer_group"].map(|field| broken.remains.reference(field))
    };
    let name = |name: &str| Known(name.to_owned());
    let cases = [
        (
            json!({"name": "limit", "x": 1, "route": {"id": id(4)}}),
            name("limit"),
            true,
            [route, Absent, Absent, Absent],
        ),
        (
            json!({"name": "limit", "x": 1, "enabled": false}),
            name("limit"),
            false,
            [Absent, Absent, Absent, Absent],
        ),
        (json!({"name": "limit", "enabled": "no"}), name("limit"), true, [Absent, Absent, Absent, Absent]),
        (json!({"name": 5, "service": {"id": id(3)}}), Unreadable, true, [Absent, service, Absent, Absent]),
        (
            json!({"service": 5, "route": {"id": "x"}}),
            Unreadable,
            true,
            [Unreadable, Unreadable, Absent, Absent],
        ),
        (
            json!({"name": "nobody", "consumer": {"id": id(5)}, "consumer_group": {"id": id(7)}}),
            name("nobody"),
            true,
            [Absent, Absent, consumer, group],
        ),
        (
            json!({"name": "limit", "x": 1, "consumer": {"name": "alice"}}),
            name("limit"),
            true,
            [Absent, Absent, Unreadable, Absent],
        ),
    ];
    for (json, name, enabled, expected) in cases {
        let mut rows = all_good();
        put(&mut rows, "plugins", 9, json.clone());
        let (snapshot, _) = rows.snapshot();
        let [broken] = &*snapshot.broken else { panic!("{json}: {:?}", snapshot.broken) };
        assert_eq!((&broken.remains.name, broken.remains.enabled), (&name, enabled), "{json}");
        assert_eq!(scope(broken), expected, "{json}");
    }
    let mut rows = Rows::default();
    rows.put_unreadable("plugins", id(9), "its body is no JSON", None);
    rows.put_unreadable(
        "upstreams",
        id(2),
        "its body is no JSON",
        Some(&object(json!({"name": "up.example"}))),
    );
    rows.put_unreadable(
        "snis",
        id(3),
        "its body is no JSON",
        Some(&object(json!({"name": "a.example", "certificate": {"id": id(8)}}))),
    );
    let (snapshot, _) = rows.snapshot();
    let [plugin, sni, upstream] = &*snapshot.broken else { panic!("{:?}", snapshot.broken) };
    assert_eq!(scope(plugin), [Unreadable, Unreadable, Unreadable, Unreadable]);
    assert_eq!((&plugin.remains.name, plugin.remains.enabled), (&Unreadable, true));
    assert_eq!(upstream.remains.name, name("up.example"));
    assert_eq!(sni.remains.reference("certificate"), Known(id(8)));
    assert_eq!(upstream.to_string(), "upstreams[up.example]: its body is no JSON");
}

#[test]
fn what_is_told_is_bounded() {
    let mut body: Map<String, Json> = (0..200).map(|n| (format!("field-{n}"), json!(1))).collect();
    body.insert("name".to_owned(), "\u{1b}[2J".into());
    let mut rows = Rows::default();
    rows.put("services", id(3), body, &Vec::new());
    let (snapshot, _) = rows.snapshot();
    let [broken] = &*snapshot.broken else { panic!("{:?}", snapshot.broken) };
    assert_eq!(broken.reasons.len(), MAX_REASONS + 1);
    assert!(!broken.to_string().contains(char::is_control));
    let long = json!({"id": id(3), "name": "x".repeat(100_000), "host": 5});
    put(&mut rows, "services", 3, long);
    let (snapshot, _) = rows.snapshot();
    let [broken] = &*snapshot.broken else { panic!("{:?}", snapshot.broken) };
    assert!(format!("{broken:?}").len() < 5000, "{broken:?}");
    assert_eq!(broken.remains.name, Part::Unreadable);
}

#[test]
fn lists_without_some_are_shared_too() {
    let mut rows = all_good();
    put(&mut rows, "routes", 50, json!({"paths": ["/x"], "service": {"id": id(200)}}));
    let one = rows.snapshot().0;
    put(&mut rows, "consumers", 51, json!({"username": "bob"}));
    let two = rows.snapshot().0;
    assert!(one.routes.is(&two.routes) && one.services.is(&two.services));
    assert_eq!(two.consumers.since(&one.consumers).unwrap().len(), 1);
    assert_eq!(two.routes.len(), 1);
}

#[test]
fn errors_of_all_rows_together_stay_errors() {
    let bodies = [
        object(json!({"id": id(1), "name": "env", "prefix": "aa", "config": {"prefix": "{vault://bb/x}"}})),
        object(json!({"id": id(2), "name": "env", "prefix": "bb", "config": {"prefix": "{vault://aa/x}"}})),
    ];
    let refused = rows(bodies.iter().map(|body| ("vaults", body)), &Vec::new()).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].to_string(), "vaults[bb].config.prefix: the vault needs itself: aa → bb → aa");
}
