//! Plans, without a gateway.

use proptest::prelude::*;
use serde_json::json;

use super::super::present::Existing;
use super::super::report;
use super::super::wanted::{self, Source};
use super::*;

fn wanted(yaml: &str) -> Wanted {
    let bytes = format!("_format_version: '3.0'\n{yaml}").into_bytes();
    wanted::read(&[Source { name: "kong.yaml".to_owned(), bytes }], &|_| None, true).unwrap()
}

fn present(entities: &[(&str, Json)]) -> Present {
    let existing = entities.iter().map(|(collection, body)| Existing {
        kind: Kind::known_as(collection).unwrap(),
        id: body["id"].as_str().unwrap().to_owned(),
        body: body.as_object().unwrap().clone(),
    });
    let mut entities: Vec<_> = existing.collect();
    entities.sort_by_key(|entity| entity.kind.rank());
    Present { entities, lookup: Vec::new() }
}

/// Without schemas, so only of kinds without defaults.
fn plan_of(yaml: &str, present: &Present, goal: Goal) -> Result<Vec<Vec<String>>, Vec<String>> {
    let plan = plan(&wanted(yaml), present, &Schemas::default(), goal).map_err(|problems| problems.0)?;
    let stages = plan.stages.iter();
    Ok(stages.map(|stage| stage.iter().map(report::headline).collect()).collect())
}

#[test]
fn creates_by_kind_and_deletes_the_other_way() {
    let there = present(&[
        ("consumers", json!({ "id": "c", "username": "old" })),
        ("keyauth_credentials", json!({ "id": "k", "key": "s3cr3t", "consumer": { "id": "c" } })),
        ("plugins", json!({ "id": "p", "name": "cors", "consumer": { "id": "c" }, "config": {} })),
    ]);
    let yaml = "plugins: [{ name: acl }]\nconsumers: [{ username: new, acls: [{ group: g }], groups: [{ name: gold }] }]\nconsumer_groups: [{ name: gold }]";
    assert_eq!(
        plan_of(yaml, &there, Goal::Exactly).unwrap(),
        [
            ["creating consumer new"],
            ["creating consumer-group gold"],
            ["creating acl-group g for consumer new"],
            ["creating consumer-group-consumer new for consumer-group gold"],
            ["creating plugin acl (global)"],
            ["deleting plugin cors for consumer old"],
            ["deleting key-auth [masked] for consumer old"],
            ["deleting consumer old"],
        ]
    );
    assert_eq!(plan_of(yaml, &there, Goal::AtLeast).unwrap().len(), 5);
}

#[test]
fn whoever_holds_the_name_of_another_id_goes_first_with_all_that_hangs_on_it() {
    let there = present(&[
        ("consumers", json!({ "id": "old", "username": "alice" })),
        ("acls", json!({ "id": "a", "group": "g", "consumer": { "id": "old" } })),
    ]);
    let yaml = "consumers: [{ id: new, username: alice, acls: [{ group: g }] }]";
    let expected: [&[&str]; 4] = [
        &["deleting acl-group g for consumer alice"],
        &["deleting consumer alice"],
        &["creating consumer alice"],
        &["creating acl-group g for consumer alice"],
    ];
    assert_eq!(plan_of(yaml, &there, Goal::Exactly).unwrap(), expected);
    assert_eq!(plan_of(yaml, &there, Goal::AtLeast).unwrap(), expected);
}

#[test]
fn a_credential_that_moves_is_made_again() {
    let there = present(&[
        ("consumers", json!({ "id": "a", "username": "alice" })),
        ("consumers", json!({ "id": "b", "username": "bob" })),
        ("keyauth_credentials", json!({ "id": "k", "key": "s3cr3t", "consumer": { "id": "a" } })),
    ]);
    let yaml = "consumers: [{ username: alice }, { username: bob, keyauth_credentials: [{ key: s3cr3t }] }]";
    assert_eq!(
        plan_of(yaml, &there, Goal::Exactly).unwrap(),
        [["deleting key-auth [masked] for consumer alice"], ["creating key-auth [masked] for consumer bob"]]
    );
}

#[test]
fn a_second_name_that_is_taken_is_set_free() {
    let there = present(&[
        ("consumers", json!({ "id": "a", "username": "alice", "custom_id": "1" })),
        ("consumers", json!({ "id": "b", "username": "bob", "custom_id": "2" })),
    ]);
    let yaml = "consumers: [{ username: alice, custom_id: '2' }]";
    assert_eq!(
        plan_of(yaml, &there, Goal::Exactly).unwrap(),
        [["deleting consumer bob"], ["updating consumer alice"]]
    );
}

#[test]
fn what_has_no_plan() {
    let none = Present::default();
    let cases = [
        (
            "plugins: [{ name: cors, consumer: ghost }]",
            "kong.yaml:2:11: consumer ghost for plugin cors: entity not found",
        ),
        (
            "consumers: [{ username: a }, { username: a }]",
            "kong.yaml:2:30: consumer stands at kong.yaml:2:13, too",
        ),
        ("consumers: [{ tags: [a] }]", "kong.yaml:2:13: consumer needs username or custom_id, or an id"),
    ];
    for (yaml, expected) in cases {
        assert_eq!(plan_of(yaml, &none, Goal::Exactly).unwrap_err(), [expected], "{yaml}");
    }
}

/// What a gateway would have after a plan.
fn carried_out(plan: &Plan, mut present: Present) -> Present {
    for step in plan.steps() {
        present
            .entities
            .retain(|entity| entity.kind.collection() != step.kind.collection() || entity.id != step.id);
        if step.action != Action::Delete {
            present.entities.push(Existing { kind: step.kind, id: step.id.clone(), body: step.body.clone() });
        }
    }
    present.entities.sort_by_key(|entity| entity.kind.rank());
    present
}

#[derive(Clone, Debug)]
struct Consumer {
    id: Option<u8>,
    custom_id: Option<u8>,
    tags: Vec<u8>,
    acls: BTreeSet<u8>,
    keys: BTreeSet<u8>,
}

fn any_file() -> impl Strategy<Value = String> {
    let numbers = || prop::collection::btree_set(0..4_u8, 0..3);
    let consumer = (
        prop::option::of(0..5_u8),
        prop::option::of(0..4_u8),
        prop::collection::vec(0..3_u8, 0..2),
        numbers(),
        numbers(),
    )
        .prop_map(|(id, custom_id, tags, acls, keys)| Consumer { id, custom_id, tags, acls, keys });
    prop::collection::btree_map(0..4_u8, consumer, 0..4).prop_map(|consumers| {
        let (mut ids, mut custom, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let consumers: Vec<Json> = consumers
            .into_iter()
            .map(|(name, consumer)| {
                let mut json = json!({
                    "username": format!("u{name}"), "tags": consumer.tags.iter().map(|tag| format!("t{tag}")).collect::<Vec<_>>(),
                    "acls": consumer.acls.iter().map(|group| json!({ "group": format!("g{group}") })).collect::<Vec<_>>(),
                    "keyauth_credentials": consumer.keys.iter().filter(|key| keys.insert(**key))
                        .map(|key| json!({ "key": format!("k{key}") })).collect::<Vec<_>>(),
                });
                if let Some(id) = consumer.id.filter(|id| ids.insert(*id)) {
                    json["id"] = format!("id-{id}").into();
                }
                if let Some(id) = consumer.custom_id.filter(|id| custom.insert(*id)) {
                    json["custom_id"] = format!("c{id}").into();
                }
                json
            })
            .collect();
        json!({ "consumers": consumers }).to_string().trim_start_matches('{').trim_end_matches('}').to_owned()
    })
}

proptest! {
    /// Whatever was there: after one plan nothing is left to do.
    #[test]
    fn one_plan_is_enough(one in any_file(), other in any_file()) {
        let mut there = Present::default();
        for yaml in [&one, &other, &one] {
            let wanted = wanted::read(
                &[Source { name: "f".to_owned(), bytes: format!("{{\"_format_version\": \"3.0\", {yaml}}}").into_bytes() }],
                &|_| None, true,
            ).unwrap();
            let first = plan(&wanted, &there, &Schemas::default(), Goal::Exactly).unwrap();
            there = carried_out(&first, there);
            let ids: BTreeSet<_> = there.entities.iter().map(|entity| (entity.kind.deck_name(), entity.id.clone())).collect();
            prop_assert_eq!(ids.len(), there.entities.len());
            let second = plan(&wanted, &there, &Schemas::default(), Goal::Exactly).unwrap();
            let left: Vec<_> = second.steps().map(report::headline).collect();
            prop_assert!(left.is_empty(), "{left:?} is left of\n{yaml}\n{there:?}");
        }
    }
}

/// What a gateway fills in, generates or counts down makes no difference; and what it generated is not generated anew.
#[test]
fn what_gateways_add_to_credentials_is_no_difference() {
    let there = present(&[
        ("consumers", json!({ "id": "c", "username": "u" })),
        (
            "jwt_secrets",
            json!({ "id": "j", "key": "k", "secret": "s", "algorithm": "HS256", "consumer": { "id": "c" } }),
        ),
        (
            "jwt_secrets",
            json!({ "id": "r", "key": "r", "secret": "gen", "algorithm": "RS256", "rsa_public_key": "P",
            "consumer": { "id": "c" } }),
        ),
        ("keyauth_credentials", json!({ "id": "t", "key": "x", "ttl": 7, "consumer": { "id": "c" } })),
    ]);
    let yaml = |key: &str, ttl: u8| {
        format!(
            "consumers: [{{ username: u, keyauth_credentials: [{{ key: x, ttl: {ttl} }}], jwt_secrets: [{{ key: k, \
             secret: s }}, {{ key: r, algorithm: RS256, rsa_public_key: {key} }}] }}]"
        )
    };
    assert_eq!(plan_of(&yaml("P", 9), &there, Goal::Exactly).unwrap(), [[""; 0]; 0]);
    assert_eq!(plan_of(&yaml("P", 5), &there, Goal::Exactly).unwrap().len(), 1, "less than what remains");
    let changed = plan(&wanted(&yaml("Q", 9)), &there, &Schemas::default(), Goal::Exactly).unwrap();
    let update = changed.steps().next().unwrap();
    assert_eq!((update.action, &update.body["secret"]), (Action::Update, &json!("gen")));
    let shown = format!("{:?}", update.shown);
    assert!(!shown.contains("gen"), "{shown}");
}
