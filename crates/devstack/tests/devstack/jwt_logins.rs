//! Logins with a JWT: each reason for which one is refused, and key rotation.

use super::{Tutorial, client, pass};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use postern_devstack::{Idp, IdpOptions, PortChoice};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn each_reason_to_refuse_has_its_words() {
    let tutorial = Tutorial::start().await;
    let idp = &tutorial.stack.idp;
    tutorial.role("other-subject", json!({"bound_subject": "someone@clients"})).await;
    tutorial.role("other-claim", json!({"bound_claims": {"gty": "password"}})).await;
    tutorial.role("missing-claim", json!({"bound_claims": {"groups": "ops"}})).await;
    tutorial.role("other-user", json!({"user_claim": "email"})).await;
    tutorial.role("root", json!({"token_policies": "root"})).await;
    tutorial.role("no-audience", json!({"bound_audiences": ""})).await;

    let good = tutorial.jwt().await;
    let other_audience = client::idp_token(idp, "https://else/").await;
    let (head, claims) =
        good.rsplit_once('.').map(|(message, _)| message).and_then(|m| m.split_once('.')).expect("parts");
    let forged_claims = BASE64.encode(
        String::from_utf8(BASE64.decode(claims).expect("base64")).expect("text").replace("clients", "admins"),
    );
    let signature = good.rsplit('.').next().expect("a signature");
    let forged = format!("{head}.{forged_claims}.{signature}");
    let unsigned = format!("{}.{claims}.", BASE64.encode(r#"{"alg":"none"}"#));
    let stranger = Idp::start(IdpOptions {
        port: PortChoice::Free,
        client_id: Some(idp.client_id().to_owned()),
        ..IdpOptions::default()
    });
    let strangers = client::idp_token(&stranger.await.expect("a port"), &idp.audience()).await;

    let token = "error validating token: ";
    let signature = "error validating token: error verifying token signature: ";
    let table: &[(&str, &str, String)] = &[
        ("nobody", &good, "role \"nobody\" could not be found".to_owned()),
        ("", &good, "missing role".to_owned()),
        ("demo", "", "missing token".to_owned()),
        ("demo", "abc", format!("{signature}oidc: malformed jwt: ")),
        ("demo", &forged, format!("{signature}failed to verify id token signature")),
        ("demo", &strangers, format!("{signature}failed to verify id token signature")),
        (
            "demo",
            &unsigned,
            format!("{signature}oidc: malformed jwt: unexpected signature algorithm \"none\""),
        ),
        (
            "demo",
            &other_audience,
            format!("{token}invalid audience (aud) claim: audience claim does not match"),
        ),
        ("other-subject", &good, format!("{token}invalid subject (sub) claim")),
        ("other-claim", &good, "error validating claims: claim \"gty\" does not match".to_owned()),
        ("missing-claim", &good, "error validating claims: claim \"groups\" is missing".to_owned()),
        ("other-user", &good, "claim \"email\" not found in token".to_owned()),
        ("root", &good, "auth methods cannot create root tokens".to_owned()),
        ("no-audience", &good, "audience claim found in JWT but no audiences bound to the role".to_owned()),
    ];
    for (role, jwt, words) in table {
        let (status, error) =
            tutorial.root.refused("POST", "auth/jwt/login", json!({"role": role, "jwt": jwt})).await;
        assert!(status == 400 && error.starts_with(words.as_str()), "{role}: {status} {error}");
    }
    assert_eq!(tutorial.stack.vault.logins(), table.len() as u64);
    tutorial.root.ok("POST", "auth/jwt/login", json!({"role": "demo", "jwt": good})).await;

    let issuer = json!({"jwks_url": idp.jwks_url(), "bound_issuer": "http://else/"});
    tutorial.root.ok("POST", "auth/jwt/config", issuer).await;
    let (_, error) =
        tutorial.root.refused("POST", "auth/jwt/login", json!({"role": "demo", "jwt": good})).await;
    assert_eq!(error, "error validating token: invalid issuer (iss) claim");
}

#[tokio::test]
async fn an_expired_jwt_is_refused_after_the_clock_skew() {
    let tutorial = Tutorial::start().await;
    let jwt = tutorial.jwt().await;
    let login = json!({"role": "demo", "jwt": jwt});
    pass(Duration::from_secs(86_400 + 30)).await;
    tutorial.root.ok("POST", "auth/jwt/login", login.clone()).await;
    pass(Duration::from_secs(60)).await;
    let (status, error) = tutorial.root.refused("POST", "auth/jwt/login", login).await;
    let words = "error validating token: invalid expiration time (exp) claim: token is expired";
    assert_eq!((status, error.as_str()), (400, words));
}

#[tokio::test]
async fn keys_rotate_without_a_failed_login() {
    let tutorial = Tutorial::start().await;
    let idp = &tutorial.stack.idp;
    let login = async |jwt: &str| {
        tutorial.root.call("POST", "auth/jwt/login", json!({"role": "demo", "jwt": jwt})).await.0
    };
    let first = tutorial.jwt().await;
    assert_eq!(login(&first).await, 200);
    let fetched = idp.requests_to_jwks();
    idp.rotate_keys().await.expect("a key");
    let second = tutorial.jwt().await;
    assert_eq!(login(&second).await, 200, "an unknown key is fetched");
    assert_eq!(idp.requests_to_jwks(), fetched + 1);
    assert_eq!(login(&first).await, 200, "the previous key is still published");
    assert_eq!(login(&second).await, 200);
    assert_eq!(idp.requests_to_jwks(), fetched + 1, "known keys are not fetched");

    let (status, _) = client::send("POST", &format!("{}dev/rotate-keys", idp.url()), &[], String::new())
        .await
        .expect("an answer");
    assert_eq!(status, 200);
    assert_eq!(login(&tutorial.jwt().await).await, 200);
    assert_eq!(login(&first).await, 400, "the key before the previous one is gone");
}

#[tokio::test]
async fn forged_key_ids_do_not_become_a_flood_of_fetches() {
    let tutorial = Tutorial::start().await;
    let before = tutorial.stack.idp.requests_to_jwks();
    for number in 0..60 {
        let head = BASE64.encode(format!(r#"{{"alg":"RS256","kid":"forged-{number}"}}"#));
        let jwt = format!("{head}.e30.AA");
        tutorial.root.refused("POST", "auth/jwt/login", json!({"role": "demo", "jwt": jwt})).await;
    }
    let fetches = tutorial.stack.idp.requests_to_jwks() - before;
    assert!((1..=20).contains(&fetches), "{fetches} fetches");
}

#[tokio::test]
async fn a_configuration_whose_keys_cannot_be_had_is_refused_and_changes_nothing() {
    let tutorial = Tutorial::start().await;
    let idp = &tutorial.stack.idp;
    let not_found = format!("{}no-keys", idp.url());
    let (status, error) =
        tutorial.root.refused("POST", "auth/jwt/config", json!({"jwks_url": not_found})).await;
    assert_eq!((status, error.as_str()), (400, "error checking jwks URL"));
    assert_eq!(tutorial.root.get("auth/jwt/config").await.1["data"]["jwks_url"], idp.jwks_url());
    tutorial.log_in("demo").await;
    // Discovery leads to the same keys, if the issuer is spelled as the provider spells it.
    tutorial.root.ok("POST", "auth/jwt/config", json!({"oidc_discovery_url": idp.url()})).await;
    tutorial.log_in("demo").await;
    let without_slash = json!({"oidc_discovery_url": idp.url().trim_end_matches('/')});
    let (_, error) = tutorial.root.refused("POST", "auth/jwt/config", without_slash).await;
    assert!(error.contains("issuer did not match the returned issuer"), "{error}");
}
