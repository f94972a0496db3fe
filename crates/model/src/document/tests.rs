//! Documents as they are written: forms, places, limits, and what hostile files lead to.

use proptest::prelude::*;

use super::*;
use crate::violation::Position;

fn no_env(_: &str) -> Option<String> {
    None
}

/// What is said of a document, be it by `read` or kept for `check`.
fn said(bytes: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let violations = match read(bytes, env) {
        Ok(document) => document.report.finish(),
        Err(violations) => violations,
    };
    violations.iter().map(ToString::to_string).collect()
}

fn json(yaml: &str) -> serde_json::Value {
    read(yaml.as_bytes(), &no_env)
        .unwrap_or_else(|violations| panic!("{yaml}: {violations:?}"))
        .root
        .to_json()
}

/// Every kind of bad input, as data: the document, and all that is said of it.
#[test]
fn bad_input() {
    const V: &str = "_format_version: \"3.0\"\n";
    let with = |rest: &str| format!("{V}{rest}");
    let cases: Vec<(String, &[&str])> = vec![
        (String::new(), &["the file is empty"]),
        ("# only a comment\n".into(), &["the file is empty"]),
        (
            "hello".into(),
            &["1:1: expected a mapping with _format_version and lists of entities, got a string"],
        ),
        ("- a\n".into(), &["1:1: expected a mapping with _format_version and lists of entities, got a list"]),
        ("{}".into(), &["_format_version: required field missing"]),
        ("_format_version:\n".into(), &["1:16: _format_version: required field missing"]),
        (
            "_format_version: 3.0\n".into(),
            &["1:18: _format_version: Invalid type. Expected: string, given: number"],
        ),
        ("_format_version: \"4\"\n".into(), &["1:18: _format_version: expected one of: 1.1, 2.1, 3.0"]),
        ("_format_version: [3]\n".into(), &["1:18: _format_version: expected a string, got a list"]),
        (with("servces: []\n"), &["2:1: servces: unknown field"]),
        (with("services: {a: 1}\n"), &["2:11: services: expected a list of mappings, got a mapping"]),
        (
            with("services: [1, {}, x]\n"),
            &[
                "2:12: services[0]: expected a mapping, got an integer",
                "2:19: services[2]: expected a mapping, got a string",
            ],
        ),
        (with("_transform: 1\n"), &["2:13: _transform: expected a boolean, got an integer"]),
        (with("_info: []\n"), &["2:8: _info: expected a mapping, got a list"]),
        (
            with("_info: {select_tags: a}\n"),
            &["2:22: _info.select_tags: expected a list of strings, got a string"],
        ),
        (
            with("_workspace: 1\n_comment: 2\n_ignore: 3\n"),
            &[
                "2:13: _workspace: expected a string, got an integer",
                "3:1: warning: `_workspace` belongs to decK's form and `_comment` to the DB-less form; both are read, but other tools take one form only",
                "3:11: _comment: expected a string, got an integer",
                "4:10: _ignore: expected a list, got an integer",
            ],
        ),
        (
            with("vaults:\n  - name: env\n    prefix: a\n    name: fs\n"),
            &["5:5: the key `name` stands twice in one mapping: lines 3 and 5"],
        ),
        (with("a: [\n"), &["3:1: broken YAML: while parsing a node, did not find expected node content"]),
        (
            with("services:\n\t- name: a\n"),
            &["3:2: broken YAML: tabs disallowed within this context (block indentation)"],
        ),
        (
            with("services: \"a\n"),
            &["2:11: broken YAML: while scanning a quoted scalar, found unexpected end of stream"],
        ),
        (with("a: b: c\n"), &["2:5: broken YAML: mapping values are not allowed in this context"]),
        (with("services: *x\n"), &["2:11: broken YAML: while parsing node, found unknown anchor"]),
        (with("---\nservices: []\n"), &["2:1: a second document begins here; a file holds one"]),
        (with("services: &a [*a]\n"), &["2:15: the alias stands inside the value that it names"]),
        (
            with("1: a\ntrue: b\n~: c\n"),
            &[
                "2:1: a key must be a string",
                "2:1: 1: unknown field",
                "3:1: a key must be a string",
                "3:1: true: unknown field",
                "4:1: a key must be a string",
                "4:1: ~: unknown field",
            ],
        ),
        (with("? [a]\n: b\n"), &["2:3: a key must be a string, not a list or a mapping"]),
        (with("services: [{a: !secret x}]\n"), &["2:16: the tag is not supported"]),
        (with("vaults: [{port: !!int x}]\n"), &["2:17: the value is not what its tag says"]),
        (with("services:\n- <<: 1\n"), &["3:7: map merge requires map or sequence of maps as the value"]),
        (with("services: \"a\0b\"\n"), &["2:13: the control character U+0000 is not allowed in YAML"]),
    ];
    let differs = |(yaml, expected): &(String, &[&str])| {
        let said = said(yaml.as_bytes(), &no_env);
        (said != *expected).then(|| format!("{yaml}--- {said:#?}"))
    };
    let wrong: Vec<_> = cases.iter().filter_map(differs).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn not_utf8() {
    let cases: [(&[u8], &str, &str); 4] = [
        (b"a: \xff", "1:4: not UTF-8 at byte 3", "save the file as UTF-8"),
        ("a: ä\nü\u{1F600}".as_bytes().split_last().expect("bytes").1, "2:2: not UTF-8 at byte 8", "save"),
        (b"\xff\xfea\0", "1:1: not UTF-8 at byte 0", "UTF-16"),
        (b"\x1f\x8b\x08\x00", "1:2: not UTF-8 at byte 1", "gzip"),
    ];
    for (bytes, message, hint) in cases {
        let violations = read(bytes, &no_env).expect_err("not UTF-8");
        assert_eq!(violations[0].to_string(), message);
        assert!(violations[0].hint.as_deref().is_some_and(|text| text.contains(hint)), "{violations:?}");
    }
}

#[test]
fn a_file_of_100_mb_is_refused_by_its_size() {
    let violation = refuse_size(100_000_000).expect("too large");
    assert_eq!(violation.to_string(), "the file is too large: 96 MiB, at most 64 MiB");
    assert_eq!(refuse_size(MAX_BYTES), None);
    let bytes = vec![b' '; usize::try_from(MAX_BYTES).expect("fits") + 1];
    assert_eq!(read(&bytes, &no_env).expect_err("too large").len(), 1);
}

#[test]
fn scalars_and_styles() {
    let yaml = "_format_version: '3.0'\nservices:\n- a: no\n  b: \"1\"\n  c: 1\n  d: |\n    x\n    y\n  e: >-\n    x\n    y\n  \
                f: !!str 12\n  g: .5\n  h: ~\n  i: .inf\n  j: ! 7\n";
    let expected = serde_json::json!({
        "a": "no", "b": "1", "c": 1, "d": "x\ny\n", "e": "x y", "f": "12", "g": 0.5, "h": null, "i": ".inf", "j": "7",
    });
    assert_eq!(json(yaml)["services"][0], expected);
}

#[test]
fn json_as_other_tools_write_it() {
    let text = "{\r\n\t\"_format_version\":\"3.0\",\n\t\"services\": [\n\t\t{\n\t\t\t\"a\" : \"\\ud83d\\ude00\\b\\f\"\n\t\t}\n\t]\n}\n";
    assert_eq!(json(text)["services"][0], serde_json::json!({"a": "\u{1F600}\u{8}\u{c}"}));
}

#[test]
fn json_and_a_byte_order_mark() {
    let text = "\u{feff}{\"_format_version\": \"3.0\", \"services\": [{\"a\": \"\\u00e4\\/\", \"b\": [1, 2.5, true, null]}]}";
    let expected = serde_json::json!({"a": "ä/", "b": [1, 2.5, true, null]});
    assert_eq!(json(text)["services"][0], expected);
}

#[test]
fn merge_keys_as_in_go_yaml() {
    let yaml = "_format_version: '3.0'\nservices:\n- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {x: 3, <<: *a}\n\
                - {<<: [*a, *b], w: 4}\n- {<<: {v: 5}}\n- {'<<': *a}\n";
    let services = json(yaml)["services"].clone();
    assert_eq!(services[2], serde_json::json!({"x": 3, "y": 1}));
    assert_eq!(services[3], serde_json::json!({"w": 4, "x": 1, "y": 1, "z": 2}));
    assert_eq!(services[4], serde_json::json!({"v": 5}));
    assert_eq!(services[5], serde_json::json!({"<<": {"x": 1, "y": 1}}));
}

#[test]
fn forms() {
    let cases = [
        ("services: []", Form::Either),
        ("_info: {select_tags: [b, a, b]}", Form::Deck),
        ("_comment: x", Form::DbLess),
        ("_transform: false", Form::DbLess),
        ("keyauth_credentials: []", Form::DbLess),
        ("_plugin_configs: {}\n_comment: x", Form::Mixed),
    ];
    for (rest, form) in cases {
        let document = read(format!("_format_version: '2.1'\n{rest}\n").as_bytes(), &no_env).expect(rest);
        assert_eq!(document.header.form, form, "{rest}");
        assert_eq!(document.header.version, Some(FormatVersion::V2_1));
        assert!(!document.report.has_errors(), "{rest}");
    }
}

#[test]
fn positions_point_at_the_file_as_written() {
    let env = |name: &str| (name == "DECK_PEM").then(|| "line one\nline two\nline three".to_owned());
    let yaml =
        "_format_version: '3.0'\nservices:\n- pem: |\n    ${{ env \"DECK_PEM\" | indent 4 }}\n  port: 80\n";
    let document = read(yaml.as_bytes(), &env).expect("reads");
    let service = &document.collection("services")[0];
    assert_eq!(service.get("pem").and_then(Node::as_str), Some("line one\nline two\nline three\n"));
    let port = service.entry("port").expect("port");
    assert_eq!(
        (port.key.position, port.value.position()),
        (Position { line: 5, column: 3 }, Position { line: 5, column: 9 })
    );
}

#[test]
fn no_message_quotes_the_environment() {
    const CANARY: &str = "c4n4ry";
    let values = [
        CANARY.to_owned(),
        format!("{CANARY}: ["),
        format!("\"{CANARY}"),
        format!("!{CANARY} x"),
        format!("*{CANARY}"),
        format!("x\n{CANARY}: 1\n{CANARY}: 2"),
        format!("`{CANARY}"),
        format!("@{CANARY}"),
        format!("{{vault://{CANARY}"),
        format!("{{vault:///{CANARY}}}"),
        format!("{{vault://{CANARY}/x}}"),
        format!("%{CANARY}"),
        format!("\0{CANARY}"),
        format!("- {CANARY}"),
        format!("&{CANARY} {CANARY}: {CANARY}"),
        format!("\t{CANARY}"),
    ];
    let templates = [
        "${{ env \"DECK_X\" }}",
        "_format_version: ${{ env \"DECK_X\" }}",
        "\"${{ env \"DECK_X\" }}\"",
        "_format_version: '3.0'\n${{ env \"DECK_X\" }}: 1",
        "${{ env \"DECK_X\" }}: 1\n${{ env \"DECK_X\" }}: 1",
        "_format_version: '3.0'\nvaults:\n- name: ${{ env \"DECK_X\" }}\n  prefix: ${{ env \"DECK_X\" }}\n  id: ${{ env \"DECK_X\" }}\n",
        "_format_version: '3.0'\nvaults:\n- {name: hcv, prefix: ab, tags: ['${{ env \"DECK_X\" }}/'], config: {protocol: '${{ env \"DECK_X\" }}'}}\n",
        "_format_version: '3.0'\nvaults:\n- {name: env, prefix: ab, config: {prefix: '+${{ env \"DECK_X\" }}'}}\n",
        "_format_version: '3.0'\nvaults:\n- name: env\n  prefix: ab\n  '${{ env \"DECK_X\" }}': 1\n  config: {'${{ env \"DECK_X\" }}': {}}\n",
        "_format_version: '3.0'\nvaults:\n- {name: env, prefix: '${{ env \"DECK_X\" }}'}\n- {name: env, prefix: '${{ env \"DECK_X\" }}'}\n",
        "_format_version: '3.0'\nservices:\n- key: |\n    ${{ env \"DECK_X\" }}\n- >\n  ${{ env \"DECK_X\" }}\n",
        "_format_version: '3.0'\nservices:\n- {a: ${{ env \"DECK_X\" }}}\n",
        "_format_version: '3.0'\nvaults:\n- name: \"x\n    ${{ env \"DECK_X\" }}\"\n  prefix: x\n    ${{ env \"DECK_X\" }}\n",
        "_format_version: '3.0'\nvaults:\n- name: >-\n    x\n    ${{ env \"DECK_X\" }}\n  prefix: |2\n     ${{ env \"DECK_X\" }}\n",
        "_format_version: '3.0'\nvaults:\n- name: 'x\n\n\n    ${{ env \"DECK_X\" }}\n\n'\n  prefix: 'x\n   ${{ env \"DECK_X\" }}'\n",
        "_format_version: '3.0'\nvaults: [{name: x ${{ env \"DECK_X\" }} x, prefix: x\n ${{ env \"DECK_X\" }}}]\n",
        "a: ${{ env \"DECK_X\" | toInt }}",
        "a: ${{ env (env \"DECK_X\") }}",
        "a: ${{ toBool (env \"DECK_X\") }}",
    ];
    for (value, template) in
        values.iter().flat_map(|value| templates.iter().map(move |template| (value, template)))
    {
        let env = |name: &str| (name == "DECK_X").then(|| value.clone());
        let violations =
            match read(template.as_bytes(), &env).map(|document| crate::check(document, &Vec::new())) {
                Ok(Ok(checked)) => {
                    // A reference may be shown wherever it came from.
                    let is_reference = value.starts_with("{vault://");
                    assert!(is_reference || !format!("{checked:?}").contains(CANARY), "Debug of {template}");
                    checked.warnings
                }
                Ok(Err(violations)) | Err(violations) => violations,
            };
        let said = format!("{violations:?}");
        assert!(!said.contains(CANARY), "{template}\n{value}\n{said}");
    }
}

#[test]
fn hostile_shapes_end_soon() {
    let bomb = |levels: usize| {
        let mut yaml = "_format_version: '3.0'\nservices:\n- &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..levels {
            let previous = level - 1;
            yaml += &format!("- &a{level} [{}]\n", vec![format!("*a{previous}"); 9].join(","));
        }
        yaml
    };
    let deep_by_alias: String =
        (1..50).map(|n| format!("- &a{n} {}*a{}{}\n", "[".repeat(99), n - 1, "]".repeat(99))).collect();
    let wide = (0..3000).map(|n| format!("k{n}: 1, ")).collect::<String>();
    let merges = format!("a: &a {{{wide}}}\nb:\n{}", "- {<<: *a}\n".repeat(20_000));
    let cases = [
        (bomb(9), "more than 4000000 values"),
        (bomb(300), "more than 4000000 values"),
        (format!("services: {}", "[".repeat(100_000)), "nest deeper than 128 levels"),
        (format!("services: {}", "{a: ".repeat(100_000)), "nest deeper than 128 levels"),
        ("- ".repeat(100_000), "nest deeper than 128 levels"),
        ("? ".repeat(10_000), "key must be a string"),
        ((0..2000).map(|n| format!("{}a:\n", " ".repeat(n))).collect(), "nest deeper than 128 levels"),
        (format!("services:\n- &a0 x\n{deep_by_alias}"), "nest deeper than 128 levels"),
        (merges, "more than 4000000 values"),
        ("a: 1\n".repeat(20_000), "stands twice"),
        ("${{ env \"X\" }}".repeat(50_000), "must be prefixed"),
        (format!("{}a: ]", "# ${{\n".repeat(200_000)), "broken YAML"),
        ((0..20_000).map(|n| format!("field_with_quite_a_long_name_{n}: 1\n")).collect(), "more violations"),
        ("\"".repeat(1_000_001), ""),
        ("a: &".repeat(200_000), ""),
        ("!".repeat(1_000_000), ""),
        (format!("? {}\n: 1", "k".repeat(2_000_000)), "unknown field"),
        ("[".repeat(255) + &"]".repeat(255), ""),
        ("%".repeat(1_000_000), ""),
        ("a: b\n ".repeat(200_000), ""),
    ];
    for (yaml, expected) in cases {
        let said = said(yaml.as_bytes(), &no_env);
        let shown: String = yaml.chars().take(60).collect();
        assert!(said.iter().any(|line| line.contains(expected)), "{shown}: {said:.300?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn read_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, &no_env);
    }

    #[test]
    fn read_never_panics_on_mutated_yaml(cuts in prop::collection::vec((any::<prop::sample::Index>(), "[-:{}\\[\\]*&!|>'\"#%@ \t\na<0?,~]{0,3}"), 1..6)) {
        let mut yaml = TUTORIAL.to_owned();
        for (at, insert) in cuts {
            let at = at.index(yaml.len());
            let end = (at + insert.len() / 2).min(yaml.len());
            yaml.replace_range(at..end, &insert);
        }
        let env = |_: &str| Some("x".to_owned());
        if let Ok(document) = read(yaml.as_bytes(), &env) {
            let _ = crate::check(document, &Vec::new());
        }
    }

    /// Without templates, a position that a node claims is where its text stands.
    #[test]
    fn positions_are_true(values in prop::collection::vec("[a-z]{3,8}", 1..8), indent in 0_usize..4) {
        let pad = " ".repeat(indent);
        let list: String = values.iter().map(|value| format!("{pad}- {value}\n")).collect();
        let yaml = format!("# ä\n_format_version: '3.0'\nservices:\n{list}");
        let document = read(yaml.as_bytes(), &no_env).expect("reads");
        let lines: Vec<&str> = yaml.lines().collect();
        for node in document.collection("services") {
            let Position { line, column } = node.position();
            let rest = &lines[line as usize - 1][column as usize - 1..];
            prop_assert_eq!(Some(rest), node.as_str());
        }
    }
}

/// The shape of the tutorial's kong.yaml.
pub(crate) const TUTORIAL: &str = r#"_format_version: "3.0"
vaults:
  - name: hcv
    prefix: hashicorp-vault
    description: Storing secrets in HashiCorp Vault
    config:
      host: ${{ env "DECK_HCV_HOST" }}
      token: ${{ env "DECK_HCV_TOKEN" }}
      kv: v2
      mount: secret
      port: 8200
      protocol: http
      auth_method: oauth2
      oauth2_role_name: demo
      oauth2_token_endpoint: https://${{ env "DECK_DOMAIN" }}/oauth/token
      oauth2_client_id: ${{ env "DECK_CLIENT_ID" }}
      oauth2_client_secret: ${{ env "DECK_CLIENT_SECRET" }}
      oauth2_audiences: https://${{ env "DECK_DOMAIN" }}/api/v2/
"#;
