//! Checks as a table: a document, and every line that is said of it.

use super::*;
use crate::document::read;
use crate::document::tests::TUTORIAL;
use crate::field::PluginSchema;
use crate::violation::Position;
use plugins::{CARELESS, CORS, KEY_AUTH};

mod both_forms;
mod entities;
mod plugins;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "DECK_HCV_HOST" => "vault.local",
        "DECK_HCV_TOKEN" => "t0ken",
        "DECK_DOMAIN" => "idp.local",
        "DECK_CLIENT_ID" => "me",
        "DECK_CLIENT_SECRET" => "s3cret",
        _ => return None,
    };
    Some(value.to_owned())
}

fn checked(yaml: &str) -> Result<Checked, Vec<Violation>> {
    read(format!("_format_version: \"3.0\"\n{yaml}").as_bytes(), &env)
        .and_then(|document| check(document, &plugins()))
}

fn plugins() -> Vec<&'static PluginSchema> {
    vec![&CORS, &KEY_AUTH, &CARELESS]
}

/// Errors and warnings, as one line each.
fn said(yaml: &str) -> Vec<String> {
    let violations = checked(yaml).map_or_else(|violations| violations, |checked| checked.warnings);
    violations.iter().map(ToString::to_string).collect()
}

#[test]
fn the_tutorial_reads_and_checks() {
    let checked = read(TUTORIAL.as_bytes(), &env)
        .and_then(|document| check(document, &plugins()))
        .unwrap_or_else(|v| panic!("{v:#?}"));
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    let vault = checked.vault("hashicorp-vault").expect("vault");
    assert_eq!(vault.kind, postern_secrets::Kind::Hcv);
    assert_eq!(vault.description.as_deref(), Some("Storing secrets in HashiCorp Vault"));
    assert_eq!(vault.position, Position { line: 3, column: 5 });
    assert_eq!(vault.field_positions["oauth2_audiences"], Position { line: 18, column: 25 });
    assert_eq!(vault.settings.integer("port"), Some(8200));
    let shown = format!("{checked:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"));
}

/// As data: what stands below `vaults:`, and all that is said of it.
#[test]
fn vaults_that_are_wrong() {
    let cases: &[(&str, &[&str])] = &[
        (
            "- {}",
            &["3:3: vaults[0].name: required field missing", "3:3: vaults[0].prefix: required field missing"],
        ),
        ("- {name: env}", &["3:3: vaults[0].prefix: required field missing"]),
        ("- {name: env, prefix: }", &["3:15: vaults[0].prefix: required field missing"]),
        ("- {name: env, prefix: my_env}", &["3:23: vaults[0].prefix: invalid value: my_env"]),
        ("- {name: env, prefix: a}", &["3:23: vaults[0].prefix: invalid value: a"]),
        ("- {name: env, prefix: 12}", &["3:23: vaults[0].prefix: expected a string, got an integer"]),
        (
            "- {name: env, prefix: env}",
            &[
                "3:23: vaults[0].prefix: must not be one of: aws, azure, azure-certs, conjur, env, fs, gcp, hcv, konnect",
            ],
        ),
        ("- {name: hvc, prefix: ab}", &["3:10: vaults[0].name: vault 'hvc' is not installed"]),
        ("- {name: aws, prefix: ab}", &["3:10: vaults[0].name: vault 'aws' is not installed"]),
        ("- {name: env, prefix: ab, confg: {}}", &["3:27: vaults[0].confg: unknown field"]),
        ("- {name: env, prefix: ab, config: []}", &["3:35: vaults[0].config: expected a record, got a list"]),
        ("- {name: env, prefix: ab, config: {prefx: a}}", &["3:36: vaults[0].config.prefx: unknown field"]),
        (
            "- {name: env, prefix: ab, config: {prefix: 'a b'}}",
            &["3:44: vaults[0].config.prefix: invalid value: a b"],
        ),
        ("- {name: env, prefix: ab, id: 7}", &["3:31: vaults[0].id: expected a string, got an integer"]),
        ("- {name: env, prefix: ab, id: x}", &["3:31: vaults[0].id: expected a valid UUID"]),
        (
            "- {name: env, prefix: ab, tags: a}",
            &["3:33: vaults[0].tags: expected a set of strings, got a string"],
        ),
        (
            "- {name: env, prefix: ab, tags: [1, 'a,b']}",
            &[
                "3:34: vaults[0].tags[0]: expected a string, got an integer",
                "3:37: vaults[0].tags[1]: invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences",
            ],
        ),
        (
            "- {name: env, prefix: ab, created_at: now, updated_at: 1.5}",
            &[
                "3:39: vaults[0].created_at: expected an integer, got a string",
                "3:56: vaults[0].updated_at: expected an integer, got a number",
            ],
        ),
        (
            "- {name: env, prefix: ab, description: 1}",
            &["3:40: vaults[0].description: expected a string, got an integer"],
        ),
        (
            "- {name: hcv, prefix: ab, config: {token: 12345, port: x, ssl_verify: maybe}}",
            &[
                "3:43: vaults[0].config.token: expected a string, got an integer",
                "3:56: vaults[0].config.port: expected an integer, got a string",
                "3:71: vaults[0].config.ssl_verify: expected a boolean, got a string",
            ],
        ),
        ("- {name: fs, prefix: ab}", &["3:3: vaults[0].config.prefix: required field missing"]),
        (
            "- {name: env, prefix: ab}\n- {name: env, prefix: ab}\n- {name: env, prefix: ab}",
            &[
                "4:23: vaults[1].prefix: uniqueness violation: 'vaults' entity with prefix set to 'ab' already declared",
                "5:23: vaults[2].prefix: uniqueness violation: 'vaults' entity with prefix set to 'ab' already declared",
            ],
        ),
        (
            "- {name: env, prefix: ab, id: &i 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0}\n- {name: env, prefix: ac, id: *i}",
            &[
                "3:31: vaults[1].id: uniqueness violation: 'vaults' entity with id set to '6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0' already declared",
            ],
        ),
        (
            "- {name: env, prefix: ab}\n- {name: env, prefix: ac, id: 2F90BB9F-AB}",
            &["4:31: vaults[1].id: expected a valid UUID"],
        ),
        (
            "- {name: env, prefix: my-env}\n- {name: env, prefix: ac, id: 3DC3BF8D-e9b4-576c-af74-01619966a0d0}",
            &[
                "4:31: vaults[1].id: uniqueness violation: 'vaults' entity with id set to '3DC3BF8D-e9b4-576c-af74-01619966a0d0' already declared",
            ],
        ),
    ];
    for (vaults, expected) in cases {
        assert_eq!(said(&format!("vaults:\n{vaults}\n")), *expected, "{vaults}");
    }
}

#[test]
fn hints_say_what_to_do() {
    let cases = [
        ("vault: []", "did you mean vaults?"),
        ("vaults: [{name: hvc, prefix: ab}]", "did you mean hcv?"),
        ("vaults: [{name: aws, prefix: ab}]", "this build has: env, fs, hcv"),
        ("vaults: [{name: env, prefx: ab}]", "did you mean prefix?"),
        ("vaults: [{name: hcv, prefix: ab, config: {token: 12345}}]", "write the value in quotes"),
        ("vaults: [{name: env, prefix: 12}]", "write the value in quotes"),
        ("vaults: [{name: env, prefix: ab}, {name: env, prefix: ab}]", "the first one is at line 2"),
    ];
    for (yaml, hint) in cases {
        let violations = checked(yaml).expect_err(yaml);
        let hints: Vec<_> = violations.iter().filter_map(|violation| violation.hint.as_deref()).collect();
        assert!(hints.contains(&hint), "{yaml}: {hints:?}");
    }
}

#[test]
fn references_anywhere() {
    let cases: &[(&str, &[&str])] = &[
        (
            "certificates: [{cert: '{vault://env/cert}', key: 'x {vault://'}]",
            &["2:50: certificates[0].key: not a reference [{vault://]"],
        ),
        (
            "_plugin_configs:\n  a: {headers: {x.y: ['Bearer {vault://}']}}",
            &["3:23: _plugin_configs.a.headers[\"x.y\"][0]: reference url is missing host [{vault://}]"],
        ),
        (
            "_plugin_configs: {a: {b: '{vault://env}'}}",
            &["2:26: _plugin_configs.a.b: reference url is missing path [{vault://env}]"],
        ),
        (
            "services: [{host: '{vault://my-evn/h}'}]\nvaults: [{name: env, prefix: my-env}]",
            &["2:19: warning: services[0].host: could not find vault (my-evn)"],
        ),
        (
            "services: [{host: '{vault://aws/h}'}]",
            &["2:19: warning: services[0].host: could not find vault (aws)"],
        ),
        (
            "services: [{_comment: '{vault://', host: '{vault://fs/a}{vault://my-env/h}'}]\nvaults: [{name: env, prefix: my-env}]",
            &[],
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(said(yaml), *expected, "{yaml}");
    }
    let violations =
        checked("services: [{host: '{vault://my-evn/h}'}]\nvaults: [{name: env, prefix: my-env}]")
            .expect("warns")
            .warnings;
    assert_eq!(violations[0].hint.as_deref(), Some("did you mean my-env?"));
}

#[test]
fn vaults_that_need_vaults() {
    let cases: &[(&str, &[&str])] = &[
        ("- {name: hcv, prefix: ab, config: {token: '{vault://env/t}'}}", &[]),
        (
            "- {name: fs, prefix: my-fs, config: {prefix: '{vault://my-env/dir}'}}\n- {name: env, prefix: my-env}\n\
          - {name: hcv, prefix: ab, config: {token: '{vault://my-fs/t}'}}",
            &[],
        ),
        (
            "- {name: hcv, prefix: ab, config: {token: '{vault://hcv/t}'}}",
            &[
                "3:43: vaults[0].config.token: a field of a vault may refer to an env or fs vault only, not to hcv",
            ],
        ),
        (
            "- {name: fs, prefix: aa, config: {prefix: '{vault://aa/x}'}}",
            &["3:43: vaults[0].config.prefix: the vault needs itself: aa → aa"],
        ),
        (
            "- {name: fs, prefix: aa, config: {prefix: '{vault://bb/x}'}}\n- {name: fs, prefix: bb, config: {prefix: '{vault://aa/x}'}}",
            &["4:43: vaults[1].config.prefix: the vault needs itself: aa → bb → aa"],
        ),
    ];
    for (vaults, expected) in cases {
        assert_eq!(said(&format!("vaults:\n{vaults}\n")), *expected, "{vaults}");
    }
}

#[test]
fn many_wrong_things_end_soon() {
    let fields: String = (0..100_000).map(|n| format!("f{n}: 1, ")).collect();
    let yaml = format!("vaults: [{{name: env, prefix: ab, config: {{{fields}}}}}]");
    assert_eq!(said(&yaml), ["2:42: vaults[0].config: more than 256 fields"]);
    let vaults: String = (0..20_000).map(|n| format!("- {{name: env, prefix: v{n}}}\n")).collect();
    let references: String = (0..20_000).map(|n| format!("- {{host: '{{vault://w{n}/x}}'}}\n")).collect();
    assert_eq!(said(&format!("vaults:\n{vaults}services:\n{references}")).len(), 1001);
}

#[test]
fn a_long_chain_of_vaults_ends_soon() {
    let vault = |n: usize, to: usize| {
        format!("- {{name: fs, prefix: v{n}x, config: {{prefix: '{{vault://v{to}x/p}}'}}}}\n")
    };
    let chain: String = (0..3000).map(|n| vault(n, (n + 1) % 3000)).collect();
    let said = said(&format!("vaults:\n{chain}"));
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("v0x → v1x → v2x → v3x → v4x → v5x → v6x → v7x → … → v0x"), "{said:?}");
}

#[test]
fn ids_follow_from_the_prefix_and_tags_from_the_file() {
    let yaml = "vaults: [{name: env, prefix: ab, tags: [x, a, x]}]\n_info: {select_tags: [b, a]}";
    let id = |yaml: &str| checked(yaml).expect("checks").snapshot.vaults[0].id;
    assert_eq!(id(yaml), id("vaults:\n- name: env\n  prefix: ab\n"));
    assert_ne!(id(yaml), id("vaults: [{name: env, prefix: ac}]"));
    let given = "vaults: [{name: env, prefix: ab, id: 6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0}]";
    assert_eq!(id(given).to_string(), "6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0");
    assert_eq!(checked(yaml).expect("checks").snapshot.vaults[0].tags, ["x", "a", "b"]);
}

#[test]
fn yaml_1_1_truths_count_in_boolean_fields_only() {
    let yaml = "vaults: [{name: hcv, prefix: ab, config: {ssl_verify: off, token: no, mount: 'on'}}]";
    let vaults = checked(yaml).expect("checks").snapshot.vaults;
    assert!(!vaults[0].settings.flag("ssl_verify"));
    assert_eq!(vaults[0].settings.text("token").expect("token").expose(), "no");
    let quoted = said("vaults: [{name: hcv, prefix: ab, config: {ssl_verify: 'off'}}]");
    assert_eq!(quoted, ["2:55: vaults[0].config.ssl_verify: expected a boolean, got a string"]);
}

#[test]
fn everything_is_told_at_once() {
    let said =
        said("vaults:\n- {name: env, prefix: A}\nservces: []\nplugins: [{a: '{vault://'}]\nroutes: {a: b}\n");
    let lines: Vec<_> = said.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["3", "4", "5", "5", "6"], "{said:?}");
}

#[test]
fn lists_that_nothing_uses_yet() {
    let said = said(
        "consumers: [{username: a, oauth2_credentials: [{key: x}], mtls_auth_credentials: []}]\nlicenses: [{payload: x}]\n\
         oauth2_credentials: []\n",
    );
    let expected = [
        "2:27: warning: consumers[0].oauth2_credentials: oauth2_credentials are not supported yet",
        "3:1: warning: licenses: licenses are not supported yet",
    ];
    assert_eq!(said, expected);
}
