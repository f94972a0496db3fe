//! Who gets through with which header, and what is kept of it.

use base64::prelude::BASE64_STANDARD;
use postern_model::entity::{self, BasicauthCredential, Foreign};
use serde_json::{Value as Json, json};

use super::*;
use crate::directory::{Directory, Source};
use crate::state::State;
use crate::testing::{access, make_in, told};

fn argon2(password: &str) -> String {
    use argon2::password_hash::{PasswordHasher, SaltString};
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2
        .hash_password(password.as_bytes(), &SaltString::from_b64("c29tZXNhbHQ").unwrap())
        .unwrap()
        .to_string()
}

fn directory(password: &str) -> Arc<Directory> {
    let consumer = |name: &str| entity::Consumer { username: Some(name.into()), custom_id: None, tags: None };
    let credential = BasicauthCredential {
        consumer: Foreign { id: Uuid::from_u128(1) },
        username: "ann".into(),
        password: password.into(),
    };
    Arc::new(Directory::new(Source {
        consumers: vec![(Uuid::from_u128(1), consumer("ann-corp")), (Uuid::from_u128(2), consumer("nobody"))],
        basicauth_credentials: vec![(Uuid::from_u128(41), credential)],
        ..Source::default()
    }))
}

fn request(directory: &Arc<Directory>) -> Request {
    let mut request = Request::for_test();
    request.directory = Arc::clone(directory);
    request
}

fn basic(text: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

fn plugin(config: &Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, config)
}

#[tokio::test]
async fn what_lets_a_request_through() {
    for password in ["p:w", argon2("p:w").as_str()] {
        let directory = directory(password);
        for (header, value, through) in [
            ("authorization", basic("ann:p:w"), true),
            ("authorization", basic("ann:p:w").replace("Basic", "basic"), true),
            ("authorization", basic("ann:p:w").replace('=', ""), true),
            ("authorization", basic("ann:p:w").replace(' ', ""), true),
            ("proxy-authorization", basic("ann:p:w"), true),
            ("authorization", basic("ann:p"), false),
            ("authorization", basic("ann:"), false),
            ("authorization", basic("ann"), false),
            ("authorization", basic(":p:w"), false),
            ("authorization", basic("eve:p:w"), false),
            ("authorization", format!("Bearer {}", BASE64_STANDARD.encode("ann:p:w")), false),
            ("authorization", "Basic ***".to_owned(), false),
            ("authorization", "Bas".to_owned(), false),
            ("x-other", "x".to_owned(), false),
        ] {
            let mut request = request(&directory).with(header, &value).with("x-consumer-username", "forged");
            let answer = access(&*plugin(&json!({})), &mut request).await;
            assert_eq!(answer.is_none(), through, "{header} {value}");
            if let Some(answer) = answer {
                assert_eq!(answer.headers[WWW_AUTHENTICATE], "Basic realm=\"service\"");
                assert_eq!(told(Some(answer)), Some((StatusCode::UNAUTHORIZED, "Unauthorized".to_owned())));
                assert!(request.consumer.is_none() && request.credential.is_none());
            } else {
                assert_eq!(request.header("x-consumer-username"), Some("ann-corp"));
                assert_eq!(request.header("x-credential-identifier"), Some("ann"));
                assert_eq!(request.credential, Some(Uuid::from_u128(41)));
                assert!(request.headers.contains_key(header));
            }
        }
    }
}

#[tokio::test]
async fn the_second_header_counts_where_the_first_names_nobody() {
    let directory = directory("pw");
    for (first, second, through) in [
        ("eve:x", "ann:pw", true),
        // Somebody has the name, so its password counts.
        ("ann:x", "ann:pw", false),
        ("ann:pw", "ann:x", true),
    ] {
        let request = request(&directory).with("proxy-authorization", &basic(first));
        let mut request = request.with("authorization", &basic(second));
        assert_eq!(access(&*plugin(&json!({})), &mut request).await.is_none(), through, "{first} {second}");
    }
}

#[tokio::test]
async fn the_configuration_changes_what_happens() {
    let directory = directory("pw");
    let mut hidden = request(&directory).with("authorization", &basic("ann:pw"));
    assert!(access(&*plugin(&json!({"hide_credentials": true})), &mut hidden).await.is_none());
    assert!(!hidden.headers.contains_key("authorization"));

    let realm = plugin(&json!({"realm": "vault"}));
    let answer = access(&*realm, &mut request(&directory)).await.unwrap();
    assert_eq!(answer.headers[WWW_AUTHENTICATE], "Basic realm=\"vault\"");

    let anonymous = plugin(&json!({"anonymous": "nobody"}));
    let mut unknown = request(&directory).with("authorization", &basic("ann:x"));
    assert!(access(&*anonymous, &mut unknown).await.is_none());
    assert_eq!(unknown.header("x-anonymous-consumer"), Some("true"));

    let mut known = request(&directory);
    known.credential = Some(Uuid::from_u128(7));
    assert!(access(&*anonymous, &mut known).await.is_none());
    assert_eq!((known.credential, known.consumer), (Some(Uuid::from_u128(7)), None));
}

#[tokio::test]
async fn a_right_password_is_remembered_for_a_while_and_a_wrong_one_is_not() {
    let (state, clock) = (Arc::<State>::default(), Clock::at(1000));
    let plugin = make_in(&SCHEMA.config, make, &json!({}), &state, &clock);
    let slow = state.of(Uuid::nil(), || -> SlowChecks { panic!("the plugin holds it") });
    let directory = directory(&argon2("pw"));
    for (password, through, remembered) in
        [("x", false, 0), ("pw", true, 1), ("pw", true, 1), ("y", false, 1)]
    {
        let mut request = request(&directory).with("authorization", &basic(&format!("ann:{password}")));
        assert_eq!(access(&*plugin, &mut request).await.is_none(), through, "{password}");
        assert_eq!(slow.remembered(), remembered, "{password}");
    }
    // A remembered one is only that of the same credential; and it ends.
    let mut eve = request(&directory).with("authorization", &basic("eve:pw"));
    assert!(access(&*plugin, &mut eve).await.is_some());
    clock.set(1060);
    let Check::Slow(check) = directory.passwords().check(directory.passwords().find("ann"), b"pw") else {
        panic!("argon2 is slow")
    };
    assert!(slow.run(check, Zeroizing::new(b"pw".to_vec()), &clock).await);
}
