//! Which tokens let a request through, what is answered otherwise, and what attackers try.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use postern_model::entity::{self, Foreign, JwtSecret};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::directory::{Directory, Source};
use crate::testing::{access, check};

const NOW: u64 = 1_700_000_000;

fn credential(key: &str, algorithm: &str, secret: Option<&str>, public: Option<&str>) -> JwtSecret {
    JwtSecret {
        consumer: Foreign { id: Uuid::from_u128(1) },
        key: key.into(),
        secret: secret.map(Text::from),
        rsa_public_key: public.map(Text::from),
        algorithm: algorithm.into(),
    }
}

fn directory(secrets: Vec<JwtSecret>) -> Arc<Directory> {
    let consumer = |name: &str| entity::Consumer { username: Some(name.into()), custom_id: None, tags: None };
    Arc::new(Directory::new(Source {
        consumers: vec![(Uuid::from_u128(1), consumer("ann")), (Uuid::from_u128(2), consumer("nobody"))],
        jwt_secrets: secrets.into_iter().zip(21..).map(|(secret, n)| (Uuid::from_u128(n), secret)).collect(),
        ..Source::default()
    }))
}

fn shared() -> Arc<Directory> {
    directory(vec![
        credential("k", "HS256", Some("s3cret"), None),
        credential("64", "HS256", Some("_-7-_w"), None),
        credential("none", "HS256", None, None),
        credential(
            "broken",
            "RS256",
            None,
            Some("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
        ),
    ])
}

fn plugin(config: Json) -> Box<dyn Plugin> {
    crate::testing::make(&SCHEMA.config, make, &config)
}

fn unsigned(header: &Json, claims: &Json) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
}

fn signed(header: &Json, claims: &Json, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let text = unsigned(header, claims);
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn hs256(key: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    move |text| aws_lc_rs::hmac::sign(&key, text).as_ref().to_vec()
}

/// Signed by `k`.
fn token(claims: Json) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, hs256(b"s3cret"))
}

fn request(target: &str) -> Request {
    let mut request = Request::for_test().to(target);
    request.directory = shared();
    request
}

fn bearer(token: &str) -> Request {
    request("/").with("authorization", &format!("Bearer {token}"))
}

/// What is answered: the message, or the body, and the challenge.
async fn said(plugin: &dyn Plugin, request: &mut Request) -> Option<(String, String)> {
    let answer = access(plugin, request).await?;
    assert_eq!(answer.status, 401);
    assert!(request.consumer.is_none());
    let challenge = answer.headers[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    let text = match answer.body {
        AnswerBody::Message(message) => message,
        AnswerBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        AnswerBody::Empty => String::new(),
    };
    Some((text, challenge))
}

const OK: &str = "";

#[tokio::test]
async fn where_a_token_may_stand() {
    let good = token(json!({"iss": "k"}));
    let other = token(json!({"iss": "k", "n": 1}));
    let everywhere = || json!({"cookie_names": ["c"], "header_names": ["authorization", "x-token"], "uri_param_names": ["jwt", "t"]});
    for (config, request, expected) in [
        (json!({}), request("/"), "Unauthorized"),
        (json!({}), bearer(&good), OK),
        (json!({}), request("/").with("authorization", &format!("bEARER   {good} ")), OK),
        (json!({}), request("/").with("authorization", &good), "Unauthorized"),
        (json!({}), request("/").with("authorization", &format!("Basic {good}")), "Unauthorized"),
        (json!({}), request(&format!("/?jwt={good}")), OK),
        (json!({}), request("/?jwt="), "Unauthorized"),
        (json!({}), request(&format!("/?t={good}")), "Unauthorized"),
        (json!({}), request("/").with("cookie", &format!("c={good}")), "Unauthorized"),
        (everywhere(), request("/").with("cookie", &format!("a=b; c={good}; d")), OK),
        (everywhere(), request("/").with("cookie", &format!("C={good}")), "Unauthorized"),
        (everywhere(), request("/").with("x-token", &format!("Bearer {good}")), OK),
        (everywhere(), request(&format!("/?t={good}")).with("cookie", &format!("c={good}")), OK),
        // Of two different ones, nobody knows which the upstream believes.
        (
            everywhere(),
            request(&format!("/?t={good}")).with("cookie", &format!("c={other}")),
            "Multiple tokens provided",
        ),
        (json!({}), request(&format!("/?jwt={good}&jwt={other}")), "Multiple tokens provided"),
        (
            json!({}),
            bearer(&good).with("authorization", &format!("Bearer {other}")),
            "Multiple tokens provided",
        ),
        (json!({}), bearer(&good).with("authorization", "Bearer x"), "Multiple tokens provided"),
        (json!({"header_names": []}), bearer(&good), "Unauthorized"),
    ] {
        let mut request = request;
        let shown = format!("{config} {:?} {:?}", request.query, request.headers);
        let answer = said(&*plugin(config), &mut request).await;
        if let Some((message, challenge)) = &answer {
            let expected =
                if message == "Unauthorized" { "Bearer" } else { "Bearer error=\"invalid_token\"" };
            assert_eq!(challenge, expected, "{shown}");
        }
        assert_eq!(answer.map_or(OK.to_owned(), |answer| answer.0), expected, "{shown}");
        assert_eq!(request.consumer.is_some(), expected.is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn which_tokens_are_refused() {
    let header = json!({"alg": "HS256"});
    let sign = |claims: Json| signed(&header, &claims, hs256(b"s3cret"));
    let good = sign(json!({"iss": "k"}));
    let (text, signature) = good.rsplit_once('.').unwrap();
    let forged = unsigned(&header, &json!({"iss": "k", "admin": true}));
    for (token, expected) in [
        (good.clone(), OK),
        // The name may stand in the header.
        (signed(&json!({"alg": "HS256", "iss": "k"}), &json!({}), hs256(b"s3cret")), OK),
        ("x".to_owned(), "Bad token; invalid JSON"),
        (sign(json!({})), "No mandatory 'iss' in claims"),
        (sign(json!({"iss": ""})), "Invalid 'iss' in claims"),
        (sign(json!({"iss": 1})), "Invalid 'iss' in claims"),
        (sign(json!({"iss": ["k"]})), "Invalid 'iss' in claims"),
        (sign(json!({"iss": "K"})), "No credentials found for given 'iss'"),
        (sign(json!({"iss": "none"})), "Invalid key/secret"),
        (signed(&json!({"alg": "RS256"}), &json!({"iss": "broken"}), |_| vec![0; 256]), "Invalid key/secret"),
        // No algorithm, in whatever case, with and without a signature.
        (signed(&json!({"alg": "none"}), &json!({"iss": "k"}), |_| vec![]), "Bad token; invalid alg"),
        (signed(&json!({"alg": "nOnE"}), &json!({"iss": "k"}), hs256(b"s3cret")), "Bad token; invalid alg"),
        // The signature is gone, cut, changed, or another's.
        (format!("{text}."), "Bad token; invalid signature"),
        (text.to_owned(), "Bad token; invalid JSON"),
        (good[..good.len() - 4].to_owned(), "Invalid signature"),
        (format!("{forged}.{signature}"), "Invalid signature"),
        (signed(&header, &json!({"iss": "k"}), hs256(b"other")), "Invalid signature"),
        (signed(&header, &json!({"iss": "k"}), hs256(b"")), "Invalid signature"),
        // Another algorithm with the same key.
        (
            signed(&json!({"alg": "HS512"}), &json!({"iss": "k"}), |text| {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA512, b"s3cret");
                aws_lc_rs::hmac::sign(&key, text).as_ref().to_vec()
            }),
            "Invalid algorithm",
        ),
    ] {
        let answer = said(&*plugin(json!({})), &mut bearer(&token)).await;
        assert_eq!(answer.map_or(OK.to_owned(), |answer| answer.0), expected, "{token}");
    }
    let by_kid = plugin(json!({"key_claim_name": "kid"}));
    let with_kid = signed(&json!({"alg": "HS256", "kid": "k"}), &json!({"iss": "x"}), hs256(b"s3cret"));
    assert_eq!(said(&*by_kid, &mut bearer(&with_kid)).await, None);
    let answer = said(&*by_kid, &mut bearer(&good)).await.unwrap();
    assert_eq!(answer.0, "No mandatory 'kid' in claims");
}

#[tokio::test]
async fn a_secret_may_be_written_in_base64() {
    let decoded = plugin(json!({"secret_is_base64": true}));
    let plain = plugin(json!({}));
    let sign = |key: &[u8]| signed(&json!({"alg": "HS256"}), &json!({"iss": "64"}), hs256(key));
    let (raw, written) = (sign(&[0xff, 0xee, 0xfe, 0xff]), sign(b"_-7-_w"));
    for (plugin, token, is_right) in
        [(&decoded, &raw, true), (&decoded, &written, false), (&plain, &raw, false), (&plain, &written, true)]
    {
        assert_eq!(said(&**plugin, &mut bearer(token)).await.is_none(), is_right);
    }
    // `s3cret` is base64 by chance, of something else.
    let answer = said(&*decoded, &mut bearer(&token(json!({"iss": "k"})))).await;
    assert!(answer.is_some());
}

#[tokio::test]
async fn tokens_have_their_time() {
    let both = || json!({"claims_to_verify": ["exp", "nbf"]});
    let soon = || json!({"claims_to_verify": ["exp"], "maximum_expiration": 60});
    let now = NOW;
    for (config, claims, expected) in [
        (json!({}), json!({"exp": 1}), OK),
        (both(), json!({"exp": now + 1, "nbf": now}), OK),
        (both(), json!({"exp": now as f64 + 0.5, "nbf": 0}), OK),
        (both(), json!({"exp": now, "nbf": now}), r#"{"exp":"token expired"}"#),
        (both(), json!({"exp": -1, "nbf": now}), r#"{"exp":"token expired"}"#),
        (both(), json!({"exp": now + 1, "nbf": now + 1}), r#"{"nbf":"token not valid yet"}"#),
        (
            both(),
            json!({"exp": now, "nbf": now + 1}),
            r#"{"exp":"token expired","nbf":"token not valid yet"}"#,
        ),
        (both(), json!({}), r#"{"exp":"must be a number","nbf":"must be a number"}"#),
        (both(), json!({"exp": "9999999999", "nbf": 0}), r#"{"exp":"must be a number"}"#),
        (soon(), json!({"exp": now + 60}), OK),
        (soon(), json!({"exp": now + 61}), r#"{"exp":"exceeds maximum allowed expiration"}"#),
        (soon(), json!({"exp": 1e300}), r#"{"exp":"exceeds maximum allowed expiration"}"#),
        (soon(), json!({"exp": now - 1}), r#"{"exp":"token expired"}"#),
    ] {
        let mut claims = claims;
        claims["iss"] = "k".into();
        let answer = said(&*plugin(config.clone()), &mut bearer(&token(claims.clone()))).await;
        assert_eq!(answer.map_or(OK.to_owned(), |answer| answer.0), expected, "{config} {claims}");
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn public_keys_of_each_kind_and_keys_in_the_wrong_place() {
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let (rsa_pem, pkcs1_pem) =
        (pem("PUBLIC KEY", spki.as_ref()), pem("RSA PUBLIC KEY", rsa.public_key().as_ref()));
    let ed = Ed25519KeyPair::generate().unwrap();
    let spki: PublicKeyX509Der<'_> = ed.public_key().as_der().unwrap();
    let ed_pem = pem("PUBLIC KEY", spki.as_ref());
    type Sign<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let mut cases: Vec<(&str, String, Sign<'_>)> = Vec::new();
    let paddings: [(&str, &'static dyn signature::RsaEncoding); 6] = [
        ("RS256", &signature::RSA_PKCS1_SHA256),
        ("RS384", &signature::RSA_PKCS1_SHA384),
        ("RS512", &signature::RSA_PKCS1_SHA512),
        ("PS256", &signature::RSA_PSS_SHA256),
        ("PS384", &signature::RSA_PSS_SHA384),
        ("PS512", &signature::RSA_PSS_SHA512),
    ];
    for (name, padding) in paddings {
        let (rsa, random) = (&rsa, &random);
        let sign = move |text: &[u8]| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(padding, random, text, &mut signature).unwrap();
            signature
        };
        cases.push((name, rsa_pem.clone(), Box::new(sign)));
        cases.push((name, pkcs1_pem.clone(), Box::new(sign)));
    }
    for (name, curve) in [
        ("ES256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let (random, public) = (&random, pem("PUBLIC KEY", spki.as_ref()));
        cases.push((name, public, Box::new(move |text| pair.sign(random, text).unwrap().as_ref().to_vec())));
    }
    cases.push(("EdDSA", ed_pem, Box::new(|text| ed.sign(text).as_ref().to_vec())));

    let plugin = plugin(json!({}));
    for (name, public, sign) in &cases {
        let directory = directory(vec![credential("k", name, Some(public), Some(public))]);
        let answer = async |token: String| {
            let mut request = bearer(&token);
            request.directory = Arc::clone(&directory);
            said(&*plugin, &mut request).await.map_or(OK.to_owned(), |answer| answer.0)
        };
        let claims = json!({"iss": "k"});
        assert_eq!(answer(signed(&json!({"alg": name}), &claims, sign)).await, OK, "{name}");
        let cut = signed(&json!({"alg": name}), &claims, |text| sign(text)[1..].to_vec());
        assert_eq!(answer(cut).await, "Invalid signature", "{name}");
        let other = signed(&json!({"alg": name}), &claims, |_| sign(b"another text"));
        assert_eq!(answer(other).await, "Invalid signature", "{name}");
        // Everybody knows the public key: it must be nobody's secret, whatever the token says.
        for key in [public.as_bytes(), public.trim_end().as_bytes()] {
            let confused = signed(&json!({"alg": "HS256"}), &claims, hs256(key));
            assert_eq!(answer(confused).await, "Invalid algorithm", "{name}");
            let disguised = signed(&json!({"alg": name}), &claims, hs256(key));
            assert_eq!(answer(disguised).await, "Invalid signature", "{name}");
        }
        for (wrong, _, _) in cases.iter().filter(|(wrong, _, _)| wrong != name) {
            let renamed = signed(&json!({"alg": wrong}), &claims, sign);
            assert_eq!(answer(renamed).await, "Invalid algorithm", "{name} as {wrong}");
        }
    }
    // A key of another kind than the algorithm's fits nothing.
    let directory = directory(vec![credential("k", "ES256", None, Some(&rsa_pem))]);
    let mut request = bearer(&signed(&json!({"alg": "ES256"}), &json!({"iss": "k"}), |_| vec![0; 64]));
    request.directory = directory;
    assert_eq!(said(&*plugin, &mut request).await.unwrap().0, "Invalid key/secret");
}

#[tokio::test]
async fn the_upstream_is_told_who_it_is() {
    let mut known = bearer(&token(json!({"iss": "k"})))
        .with("x-consumer-id", "forged")
        .with("x-anonymous-consumer", "true");
    assert!(access(&*plugin(json!({})), &mut known).await.is_none());
    assert_eq!(known.header("x-consumer-id"), Some(&*Uuid::from_u128(1).to_string()));
    assert_eq!(known.header("x-consumer-username"), Some("ann"));
    assert_eq!(known.header("x-credential-identifier"), Some("k"));
    assert_eq!(known.header("x-anonymous-consumer"), None);
    assert_eq!(known.credential, Some(Uuid::from_u128(21)));

    for bad in [request("/"), bearer("x"), bearer(&token(json!({"iss": "k", "exp": 1})))] {
        let mut bad = bad.with("x-credential-identifier", "forged");
        let plugin = plugin(json!({"anonymous": "nobody", "claims_to_verify": ["exp"]}));
        assert!(access(&*plugin, &mut bad).await.is_none());
        assert_eq!(bad.header("x-consumer-username"), Some("nobody"));
        assert_eq!(bad.header("x-credential-identifier"), None);
        assert!(bad.credential.is_none());
    }
    for (config, through) in [(json!({"anonymous": "nobody"}), true), (json!({}), false)] {
        let mut request = request("/");
        request.credential = Some(Uuid::from_u128(7));
        assert_eq!(access(&*plugin(config), &mut request).await.is_none(), through);
        assert_eq!(request.credential, Some(Uuid::from_u128(7)));
    }
}

#[tokio::test]
async fn preflight_requests_may_go_without_and_the_realm_is_told() {
    for (runs, through) in [(true, false), (false, true)] {
        let plugin = plugin(json!({"run_on_preflight": runs, "realm": "here"}));
        let mut preflight = request("/");
        preflight.method = Method::OPTIONS;
        let answer = said(&*plugin, &mut preflight).await;
        assert_eq!(answer.is_none(), through);
        assert!(answer.is_none_or(|answer| answer.1 == "Bearer realm=\"here\""));
        let answer = said(&*plugin, &mut bearer("x")).await.unwrap();
        assert_eq!(answer.1, "Bearer realm=\"here\", error=\"invalid_token\"");
    }
}

#[test]
fn a_maximum_needs_an_end() {
    let check = |config| check(&SCHEMA.config, &config);
    assert_eq!(check(json!({"maximum_expiration": 60, "claims_to_verify": ["exp"]})), Ok(()));
    assert_eq!(check(json!({"maximum_expiration": 0})), Ok(()));
    for claims in [json!(null), json!(["nbf"])] {
        let bad = check(json!({"maximum_expiration": 60, "claims_to_verify": claims})).unwrap_err();
        assert_eq!(bad, "claims_to_verify: expected to contain: exp");
    }
}
