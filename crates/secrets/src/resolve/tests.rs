//! Resolution over `env` and `fs`: names, layers, keys, nested references. (`hcv` is tested against servers.)

use serde_json::json;

use super::*;

const ENV: &[(&str, &str)] = &[
    ("TEST_ENV", "test"),
    ("TEST_ENV_EMPTY", ""),
    ("TEST_ENV_JSON", r#"{"username":"user", "password":"pass", "n": 1}"#),
    ("PLAIN", "plain"),
    ("X", "new"),
    ("X_PREVIOUS", "old"),
    ("P_X", "prefixed"),
    ("B64", "aHVudGVyMg=="),
    ("B64_JSON", r#"{"pass":"aHVudGVyMg=="}"#),
];

fn settings(kind: Kind, config: serde_json::Value) -> Result<Settings, Vec<FieldError>> {
    Settings::from_entity(kind, config.as_object().unwrap())
}

fn resolver() -> Resolver {
    let env = Env::new(ENV.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Resolver::new(env, Trust::none()).with_vault(
        "env",
        Ok(Settings::empty(Kind::Env)),
        Origin::new("defaults"),
    )
}

async fn value(resolver: &Resolver, text: &str) -> Result<String, String> {
    let reference = Reference::parse(text).map_err(|error| error.to_string())?;
    let outcome = resolver.resolve(&reference, &Trail::off()).await;
    outcome.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn env_follows_kongs_cases() {
    let resolver = resolver()
        .with_vault("p", settings(Kind::Env, json!({"prefix": "P_"})), Origin::new("test"))
        .with_vault("b64", settings(Kind::Env, json!({"base64_decode": true})), Origin::new("test"));
    let outer = "could not get value from external vault";
    let subfield = |reason: &str| Err(format!("{outer} (could not get subfield value: {reason})"));
    let cases = [
        ("{vault://env/test_env}", Ok("test".into())),
        ("{vault://env/test-env}", Ok("test".into())),
        ("{vault://env/env?prefix=test_}", Ok("test".into())),
        ("{vault://env/env?prefix=test-}", Ok("test".into())),
        ("{vault://env/test_env_empty}", Ok(String::new())),
        ("{vault://env/test_env_json/username}", Ok("user".into())),
        ("{vault://env/test_env_json/password}", Ok("pass".into())),
        ("{vault://env/test_env_na}", Err(format!("{outer} (no value found)"))),
        ("{vault://env/x#2}", Ok("old".into())),
        ("{vault://env/x}", Ok("new".into())),
        ("{vault://env/x#1}", Ok("new".into())),
        ("{vault://env/x#3}", Ok("new".into())),
        ("{vault://p/x}", Ok("prefixed".into())),
        ("{vault://p/x?prefix=}", Ok("new".into())),
        ("{vault://p/x?prefix=1bad}", Ok("new".into())),
        ("{vault://b64/b64}", Ok("hunter2".into())),
        ("{vault://b64/b64_json/pass}", Ok("hunter2".into())),
        ("{vault://b64/plain}", Err(format!("{outer} (the value is not base64 of UTF-8 text)"))),
        ("{vault://env/b64?base64_decode=true}", Ok("hunter2".into())),
        ("{vault://env/b64?base64_decode}", Ok("hunter2".into())),
        ("{vault://env/test_env_json/n}", subfield("unexpected number value in JSON secret for subfield n")),
        ("{vault://env/test_env_json/none}", subfield("subfield none not found in JSON secret")),
        (
            "{vault://env/plain/a}",
            subfield("unable to json decode value (nil): syntax error at line 1 column 1"),
        ),
        ("{vault://ENV/a}", Err("could not find vault (ENV)".into())),
        ("{vault://nonexist/nonexist}", Err("could not find vault (nonexist)".into())),
        ("{vault://env}", Err("reference url is missing path [{vault://env}]".into())),
    ];
    for (text, expected) in cases {
        assert_eq!(value(&resolver, text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn fs_finds_a_file_where_a_key_was_read() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("db")).unwrap();
    std::fs::write(directory.path().join("db/password.txt"), "hunter2").unwrap();
    std::fs::write(directory.path().join("json"), r#"{"a":"b"}"#).unwrap();
    let prefix = directory.path().to_str().unwrap();
    let resolver =
        resolver().with_vault("files", settings(Kind::Fs, json!({"prefix": prefix})), Origin::new("test"));
    assert_eq!(value(&resolver, "{vault://files/db/password.txt}").await, Ok("hunter2".into()));
    assert_eq!(value(&resolver, "{vault://files/db/password.txt/}").await, Ok("hunter2".into()));
    assert_eq!(value(&resolver, "{vault://files/json/a}").await, Ok("b".into()));
    assert_eq!(value(&resolver, "{vault://files/json}").await, Ok(r#"{"a":"b"}"#.into()));
    let error = value(&resolver, "{vault://files/none/key}").await.unwrap_err();
    assert!(error.contains(r#"there is no file "none""#), "{error}");
    let escape = value(&resolver, "{vault://files/%252e%252e%252fetc%252fpasswd}").await.unwrap_err();
    assert!(escape.contains("leads out of"), "{escape}");
}

#[tokio::test]
async fn a_vaults_fields_may_refer_to_env_and_fs() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), "from a file").unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let env = Env::new([("DIR".to_owned(), path)]);
    let resolver = Resolver::new(env, Trust::none())
        .with_vault("env", Ok(Settings::empty(Kind::Env)), Origin::new("defaults"))
        .with_vault("files", settings(Kind::Fs, json!({"prefix": "{vault://env/dir}"})), Origin::new("test"))
        .with_vault("gone", settings(Kind::Fs, json!({"prefix": "{vault://env/none}"})), Origin::new("test"))
        .with_vault("remote", settings(Kind::Fs, json!({"prefix": "{vault://hcv/a/b}"})), Origin::new("test"))
        .with_vault("hcv", settings(Kind::Hcv, json!({"token": "t"})), Origin::new("test"));
    assert_eq!(value(&resolver, "{vault://files/a}").await, Ok("from a file".into()));
    assert_eq!(
        value(&resolver, "{vault://gone/a}").await.unwrap_err(),
        "cannot fill in prefix of vault 'gone': could not get value from external vault (no value found)"
    );
    assert_eq!(
        value(&resolver, "{vault://remote/a}").await.unwrap_err(),
        "cannot fill in prefix of vault 'remote': {vault://hcv/a/b} is not in a vault of kind env or fs"
    );
}

#[tokio::test]
async fn a_circle_is_an_error() {
    let resolver = resolver()
        .with_vault("self", settings(Kind::Fs, json!({"prefix": "{vault://self/a}"})), Origin::new("test"))
        .with_vault("a", settings(Kind::Fs, json!({"prefix": "/x/{vault://b/c}"})), Origin::new("test"))
        .with_vault("b", settings(Kind::Fs, json!({"prefix": "{vault://a/c}"})), Origin::new("test"));
    let circle = |names: &str| format!("the vaults refer to one another in a circle: {names}");
    assert!(value(&resolver, "{vault://self/x}").await.unwrap_err().ends_with(&circle("self -> self")));
    assert!(value(&resolver, "{vault://a/x}").await.unwrap_err().ends_with(&circle("a -> b -> a")));
}

#[tokio::test]
async fn templates_are_filled() {
    let resolver = resolver();
    let fill = async |text: &str| {
        let filled = resolver.fill(&Template::parse(text).unwrap(), &Trail::off()).await;
        filled.map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
    };
    assert_eq!(fill("Bearer {vault://env/plain}").await, Ok("Bearer plain".into()));
    assert_eq!(
        fill("{vault://env/test_env_json/username}:{vault://env/test_env_json/password}").await,
        Ok("user:pass".into())
    );
    assert!(fill("Bearer {vault://env/none}").await.is_err(), "unresolved is an error, never empty");
}

#[tokio::test]
async fn wrong_settings_are_an_error_for_those_who_use_them() {
    let resolver =
        resolver().with_vault("bad", settings(Kind::Hcv, json!({"prot": "http"})), Origin::new("test"));
    assert_eq!(value(&resolver, "{vault://env/plain}").await, Ok("plain".into()));
    assert_eq!(
        value(&resolver, "{vault://bad/a}").await.unwrap_err(),
        "vault 'bad' is misconfigured: prot: unknown field"
    );
}

#[tokio::test]
async fn the_trail_tells_the_steps_and_no_secret() {
    let resolver = resolver();
    let trail = Trail::recording();
    let reference = Reference::parse("{vault://env/test_env_json/password}").unwrap();
    resolver.resolve(&reference, &trail).await.unwrap();
    let names: Vec<_> = trail.steps().iter().map(|step| step.name).collect();
    assert_eq!(names, ["find the vault", "read the environment", "pick the key"]);
    assert!(!format!("{:?}", trail.steps()).contains("\"pass\""));
}

#[tokio::test]
async fn sessions_are_shared_by_what_a_reference_cannot_override() {
    let config = |token: &str, mount: &str| settings(Kind::Hcv, json!({"token": token, "mount": mount}));
    let resolver = resolver();
    let session = |token: &str, mount: &str| {
        let effective = Effective::of(config(token, mount).unwrap());
        resolver.session(effective.session, &effective).unwrap()
    };
    assert!(Arc::ptr_eq(&session("a", "x"), &session("a", "y")));
    assert!(!Arc::ptr_eq(&session("a", "x"), &session("b", "x")));
}

/// Equal words mean something else where the vault that they refer to is another one.
#[test]
fn a_vault_that_is_filled_from_another_one_means_another_with_it() {
    let of = |prefix: &str, directory: &str, reference: &str| {
        let remote = json!({"token": "{vault://files/token}"});
        let files = json!({"prefix": format!("{{vault://p/{directory}}}")});
        let resolver = resolver()
            .with_vault("v", settings(Kind::Hcv, remote), Origin::default())
            .with_vault("files", settings(Kind::Fs, files), Origin::default())
            .with_vault("p", settings(Kind::Env, json!({"prefix": prefix})), Origin::default());
        resolver.target(&Reference::parse(reference).unwrap()).unwrap()
    };
    let secret = "{vault://v/a/k}";
    let first = of("P_", "one", secret);
    assert!(first.group == of("P_", "one", "{vault://v/a/other}").group);
    assert!(first.group != of("P_", "two", secret).group, "the next");
    assert!(first.group != of("Q_", "one", secret).group, "and the one after that");
    assert!(of("P_", "one", "{vault://env/a}").group == of("Q_", "two", "{vault://env/a}").group);
    // A circle ends.
    let circle = json!({"token": "{vault://v/a}"});
    let resolver = resolver().with_vault("v", settings(Kind::Hcv, circle), Origin::default());
    resolver.target(&Reference::parse(secret).unwrap()).unwrap();
}
