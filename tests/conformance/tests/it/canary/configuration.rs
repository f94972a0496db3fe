//! No leak by what is wrong in a configuration: the texts of secret fields, of variables and of files never get into
//! the message about them.

use postern_conformance::{Canary, Postern};

/// What is wrong, the environment, the files, and the command; `CANARY` stands for the secret.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const CHECK: &[&str] = &["config", "check", "kong.yaml"];
const GET: &[&str] = &["vault", "get", "{vault://hcv/a/b}"];
const EXPLAIN: &[&str] = &["vault", "explain", "{vault://hcv/a/b}"];

const CASES: &[Case] = &[
    (
        "a token that is a list",
        &[],
        &[("kong.yaml", "vaults: [{name: hcv, prefix: ab, config: {token: ['CANARY']}}]")],
        CHECK,
    ),
    (
        "a token that is a map",
        &[],
        &[("kong.yaml", "vaults: [{name: hcv, prefix: ab, config: {token: {CANARY: 1}}}]")],
        CHECK,
    ),
    (
        "a client secret that is a list",
        &[],
        &[(
            "kong.yaml",
            "vaults: [{name: hcv, prefix: ab, config: {auth_method: jwt, oauth2_client_secret: [CANARY]}}]",
        )],
        CHECK,
    ),
    (
        "a token twice",
        &[],
        &[("kong.yaml", "vaults: [{name: hcv, prefix: ab, config: {token: CANARY, token: CANARY}}]")],
        CHECK,
    ),
    (
        "a variable as a prefix",
        &[("DECK_X", "CANARY")],
        &[("kong.yaml", "vaults: [{name: env, prefix: '${{ env \"DECK_X\" }}'}]")],
        CHECK,
    ),
    (
        "a variable as a kind",
        &[("DECK_X", "CANARY")],
        &[("kong.yaml", "vaults: [{name: '${{ env \"DECK_X\" }}', prefix: ab}]")],
        CHECK,
    ),
    (
        "a variable as a name of a field",
        &[("DECK_X", "CANARY")],
        &[("kong.yaml", "vaults: [{'${{ env \"DECK_X\" }}': 1}]")],
        CHECK,
    ),
    (
        "a variable as a top-level name",
        &[("DECK_X", "CANARY")],
        &[("kong.yaml", "'${{ env \"DECK_X\" }}': 1")],
        CHECK,
    ),
    (
        "a variable that is no number",
        &[("DECK_X", "CANARY")],
        &[(
            "kong.yaml",
            "vaults: [{name: hcv, prefix: ab, config: {port: '${{ env \"DECK_X\" | toInt }}'}}]",
        )],
        CHECK,
    ),
    (
        "a variable that breaks the YAML",
        &[("DECK_X", "CANARY: {[")],
        &[("kong.yaml", "vaults: [{name: env, prefix: ${{ env \"DECK_X\" }}}]")],
        CHECK,
    ),
    (
        "a variable that is nearly a reference",
        &[("DECK_X", "{vault://CANARY")],
        &[("kong.yaml", "vaults: [{name: hcv, prefix: ab, config: {token: '${{ env \"DECK_X\" }}'}}]")],
        CHECK,
    ),
    ("a port that is none", &[("KONG_VAULT_HCV_PORT", "CANARY")], &[], GET),
    (
        "a kind of vault that is none",
        &[("KONG_VAULT_HCV_TOKEN", "CANARY"), ("KONG_VAULTS", "mine")],
        &[],
        GET,
    ),
    (
        "a JWT file that holds none",
        &[
            ("KONG_VAULT_HCV_AUTH_METHOD", "jwt"),
            ("KONG_VAULT_HCV_JWT_ROLE", "a"),
            ("KONG_VAULT_HCV_JWT_FILE", "jwt"),
        ],
        &[("jwt", "CANARY")],
        EXPLAIN,
    ),
    (
        "a certificate by a reference to something else",
        &[("KONG_LUA_SSL_TRUSTED_CERTIFICATE", "{vault://env/x}"), ("X", "CANARY")],
        &[],
        GET,
    ),
    (
        "a file by a reference to something else",
        &[("KONG_DECLARATIVE_CONFIG", "{vault://env/x}"), ("X", "CANARY")],
        &[],
        GET,
    ),
    (
        "kong.yaml by a reference to something else",
        &[("KONG_DECLARATIVE_CONFIG_STRING", "{vault://env/x}"), ("X", "CANARY")],
        &[],
        GET,
    ),
    (
        "a port by a reference to something else",
        &[("KONG_VAULT_HCV_PORT", "{vault://env/x}"), ("KONG_VAULT_HCV_TOKEN", "t"), ("X", "CANARY")],
        &[],
        EXPLAIN,
    ),
    (
        "an auth method by a reference to something else",
        &[("KONG_VAULT_HCV_AUTH_METHOD", "{vault://env/x}"), ("KONG_VAULT_HCV_TOKEN", "t"), ("X", "CANARY")],
        &[],
        EXPLAIN,
    ),
    (
        "a token endpoint by a reference to something else",
        &[
            ("KONG_VAULT_HCV_AUTH_METHOD", "jwt"),
            ("KONG_VAULT_HCV_JWT_ROLE", "a"),
            ("KONG_VAULT_HCV_OAUTH2_TOKEN_ENDPOINT", "{vault://env/x}"),
            ("KONG_VAULT_HCV_OAUTH2_CLIENT_ID", "a"),
            ("KONG_VAULT_HCV_OAUTH2_CLIENT_SECRET", "b"),
            ("X", "CANARY"),
        ],
        &[],
        EXPLAIN,
    ),
    ("a token that no header can hold", &[("KONG_VAULT_HCV_TOKEN", "CANARY\nCANARY")], &[], EXPLAIN),
    ("a variable that is no JSON", &[("X", "CANARY")], &[], &["vault", "explain", "{vault://env/x/key}"]),
    (
        "a variable of JSON without the key",
        &[("X", "{\"a\": \"CANARY\"}")],
        &[],
        &["vault", "explain", "{vault://env/x/key}"],
    ),
    (
        "a variable of broken JSON",
        &[("X", "{\"key\": \"CANARY\"")],
        &[],
        &["vault", "explain", "{vault://env/x/key}"],
    ),
    (
        "a variable of JSON with an object",
        &[("X", "{\"key\": {\"a\": \"CANARY\"}}")],
        &[],
        &["vault", "explain", "{vault://env/x/key}"],
    ),
    (
        "a variable that is no base64",
        &[("X", "CANARY!")],
        &[],
        &["vault", "explain", "{vault://env/x?base64_decode=true}"],
    ),
    (
        "a file of broken JSON",
        &[("KONG_VAULT_FS_PREFIX", "secrets")],
        &[("secrets/x", "{\"key\": \"CANARY\"")],
        &["vault", "explain", "{vault://fs/x/key}"],
    ),
    (
        "a line of kong.conf that is no setting",
        &[],
        &[("kong.conf", "vault_hcv_token CANARY\n")],
        &["vault", "get", "env/x", "-c", "kong.conf"],
    ),
];

#[tokio::test]
async fn what_is_wrong_in_a_configuration() {
    let mut failures = Vec::new();
    for (what, environment, files, command) in CASES {
        let mut canary = Canary::new();
        // Plain, so that it can stand anywhere in YAML and JSON; with a capital, which no prefix may have.
        let value: String = canary.secret(what).chars().filter(char::is_ascii_alphanumeric).collect();
        let value = format!("C{value}");
        canary.watch(what, &value);
        let mut postern = Postern::command();
        for (name, text) in *environment {
            postern = postern.env(name, text.replace("CANARY", &value));
        }
        for (name, text) in *files {
            let head = if name.ends_with(".yaml") { "_format_version: \"3.0\"\n" } else { "" };
            postern = postern.file(name, format!("{head}{}", text.replace("CANARY", &value)));
        }
        let outcome = postern.args(*command).arg("--vvv").run().await;
        let said = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
        if outcome.code != 1 || said.contains(&value.to_lowercase()) {
            failures.push(format!("{what}: {outcome}"));
            continue;
        }
        canary.assert_absent(&outcome);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
