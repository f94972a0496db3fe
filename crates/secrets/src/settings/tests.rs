//! Settings against tables: what decodes, what is refused and in which words, what options change.

use serde_json::json;

use super::*;

fn entity(kind: Kind, config: Json) -> Result<Settings, Vec<String>> {
    let errors =
        |errors: Vec<FieldError>| errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
    Settings::from_entity(kind, config.as_object().unwrap()).map_err(errors)
}

const PEM: &str = "-----BEGIN SOMETHING-----";

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

#[test]
fn the_tutorials_vault_decodes_in_both_spellings() {
    let seed = json!({
        "host": "host.docker.internal", "token": "root", "kv": "v2", "mount": "secret", "port": 8200,
        "protocol": "http", "auth_method": "oauth2", "oauth2_role_name": "demo",
        "oauth2_token_endpoint": "https://idp/oauth/token", "oauth2_client_id": "id",
        "oauth2_client_secret": "s3cr3t", "oauth2_audiences": "https://idp/api/v2/"
    });
    let settings = entity(Kind::Hcv, seed).unwrap();
    assert_eq!(settings.text("jwt_role").unwrap().expose(), "demo");
    assert_eq!(settings.texts("oauth2_audiences").len(), 1);
    assert!(!format!("{settings:?}").contains("s3cr3t"));
    assert!(settings.shown().iter().all(|(_, text)| text != "s3cr3t" && text != "root"));

    let kong = json!({
        "auth_method": "jwt", "jwt_role": "demo", "oauth2_token_endpoint": "http://idp/t", "oauth2_client_id": "id",
        "oauth2_client_secret": "{vault://env/secret}", "oauth2_audiences": ["a", "b"], "decode_base64": true,
        "approle_respons_wrapping": false
    });
    let settings = entity(Kind::Hcv, kong).unwrap();
    assert_eq!(settings.texts("oauth2_audiences").len(), 2);
    assert!(settings.flag("base64_decode"));
    assert_eq!(settings.references(), [("oauth2_client_secret", reference("{vault://env/secret}"))]);
    assert_eq!(settings.integer("port"), Some(8200));
}

#[test]
fn what_stands_around_a_reference_in_a_credential_is_not_shown() {
    let settings =
        entity(Kind::Hcv, json!({"token": "s3cr3t{vault://env/rest}", "mount": "kv-{vault://env/m}"}))
            .unwrap();
    assert!(!format!("{settings:?}").contains("s3cr3t"));
    let shown: Vec<_> = settings.shown().into_iter().map(|(_, text)| text).collect();
    assert_eq!(shown, ["kv-{vault://env/m}", "***{vault://env/rest}"]);
}

#[test]
fn refuses_in_kongs_words() {
    let cases = [
        (Kind::Hcv, json!({"token": "t", "prot": "http"}), "prot: unknown field"),
        (Kind::Hcv, json!({"token": "t", "protocol": "ftp"}), "protocol: expected one of: http, https"),
        (Kind::Hcv, json!({"token": "t", "port": "8200"}), "port: expected an integer"),
        (Kind::Hcv, json!({"token": "t", "port": 65536}), "port: value should be between 0 and 65535"),
        (Kind::Hcv, json!({"token": "t", "kv": "2"}), "kv: expected one of: v1, v2"),
        (Kind::Hcv, json!({"token": 5}), "token: expected a string"),
        (Kind::Hcv, json!({"token": "t", "host": "a/b"}), "host: invalid value: a/b"),
        (Kind::Hcv, json!({"token": "t", "ttl": 2e8}), "ttl: value should be between 0 and 100000000"),
        (Kind::Hcv, json!({"token": "t", "base64_decode": "x"}), "base64_decode: expected a boolean"),
        (
            Kind::Hcv,
            json!({"token": "{vault://env}"}),
            "token: reference url is missing path [{vault://env}]",
        ),
        (Kind::Hcv, json!({}), "token: required field missing"),
        (
            Kind::Hcv,
            json!({"auth_method": "approle", "approle_role_id": " "}),
            "approle_role_id: must not be blank",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "approle", "approle_role_id": "r"}),
            "approle_secret_id: required field missing",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "approle", "approle_secret_id_file": "/s"}),
            "approle_role_id: required field missing",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "approle", "approle_role_id": "r", "approle_secret_id": "\t"}),
            "approle_secret_id: must not be blank",
        ),
        (Kind::Hcv, json!({"auth_method": "kubernetes"}), "kube_role: required field missing"),
        (
            Kind::Hcv,
            json!({"auth_method": "cert", "protocol": "https", "cert_auth_cert": PEM}),
            "cert_auth_cert_key: required field missing",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "cert", "protocol": "https", "cert_auth_cert": "/c", "cert_auth_cert_key": PEM}),
            "cert_auth_cert: is not PEM text",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "cert", "cert_auth_cert": PEM, "cert_auth_cert_key": PEM}),
            "protocol: is http, but auth_method cert needs https",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "aws_ec2", "aws_auth_role": "r"}),
            "auth_method: 'aws_ec2' is not in this build",
        ),
        (Kind::Hcv, json!({"auth_method": "aws_iam"}), "auth_method: 'aws_iam' is not in this build"),
        (Kind::Hcv, json!({"auth_method": "gcp_iam"}), "auth_method: 'gcp_iam' is not in this build"),
        (Kind::Hcv, json!({"auth_method": "gcp_gce"}), "auth_method: 'gcp_gce' is not in this build"),
        (Kind::Hcv, json!({"auth_method": "azure"}), "auth_method: 'azure' is not in this build"),
        (
            Kind::Hcv,
            json!({"auth_method": "jwt", "jwt_role": "a", "oauth2_role_name": "b", "jwt_file": "/j"}),
            "oauth2_role_name: differs from its other spelling (jwt_role, oauth2_role_name)",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "jwt", "jwt_role": "a", "jwt_file": "/j", "oauth2_token_endpoint": "http://i/"}),
            "jwt_file: cannot be used together with oauth2_token_endpoint",
        ),
        (
            Kind::Hcv,
            json!({"auth_method": "jwt", "jwt_role": "a", "oauth2_token_endpoint": "idp"}),
            "oauth2_token_endpoint: must be an absolute http or https URL",
        ),
        (Kind::Env, json!({"prefix": "1bad"}), "prefix: invalid value: 1bad"),
        (Kind::Fs, json!({}), "prefix: required field missing"),
    ];
    for (kind, config, expected) in cases {
        assert_eq!(entity(kind, config.clone()).unwrap_err(), [expected], "{config}");
    }
}

#[test]
fn reports_everything_at_once() {
    let errors = entity(Kind::Hcv, json!({"auth_method": "jwt"})).unwrap_err();
    assert_eq!(
        errors,
        [
            "jwt_role: required field missing",
            "oauth2_token_endpoint: required field missing",
            "oauth2_client_id: required field missing",
            "oauth2_client_secret: required field missing"
        ]
    );
}

#[test]
fn every_login_of_this_build_decodes() {
    let reference = "{vault://env/x}";
    let logins = [
        json!({"token": "t"}),
        json!({"auth_method": "approle", "approle_role_id": "r", "approle_secret_id": "s"}),
        json!({"auth_method": "approle", "approle_role_id": "r", "approle_secret_id_file": "/s",
               "approle_response_wrapping": true, "approle_auth_path": "/team/approle/"}),
        json!({"auth_method": "kubernetes", "kube_role": "r", "kube_auth_path": "k8s", "kube_api_token_file": "/t"}),
        json!({"auth_method": "cert", "protocol": "https", "cert_auth_cert": PEM, "cert_auth_cert_key": PEM}),
        // What is not known yet is not judged.
        json!({"auth_method": "cert", "protocol": reference, "cert_auth_cert": reference,
               "cert_auth_cert_key": reference, "cert_auth_role_name": "r"}),
    ];
    for login in logins {
        assert_eq!(entity(Kind::Hcv, login.clone()).err(), None, "{login}");
    }
}

#[test]
fn null_is_no_value() {
    assert!(entity(Kind::Env, json!({"prefix": null})).unwrap().text("prefix").is_none());
}

#[test]
fn options_overlay_one_layer_and_invalid_ones_do_not_fall_back() {
    let base = entity(Kind::Env, json!({"prefix": "P_"})).unwrap();
    let prefix = |text: &str| {
        let overlaid = base.overlaid(&reference(text)).unwrap();
        (overlaid.settings.text("prefix").map(|p| p.expose().to_owned()), overlaid.dropped.len())
    };
    assert_eq!(prefix("{vault://env/x}"), (Some("P_".into()), 0));
    assert_eq!(prefix("{vault://env/x?prefix=Q_}"), (Some("Q_".into()), 0));
    assert_eq!(prefix("{vault://env/x?prefix=}"), (None, 0));
    assert_eq!(prefix("{vault://env/x?prefix=1bad}"), (None, 1));
    assert_eq!(prefix("{vault://env/x?prefix}"), (None, 1));
    assert_eq!(prefix("{vault://env/x?prefix=a&prefix=b}"), (None, 1));
    assert_eq!(prefix("{vault://env/x?ttl=10}"), (Some("P_".into()), 1));
}

#[test]
fn options_are_inferred_to_the_fields_type() {
    let base = entity(Kind::Hcv, json!({"token": "t"})).unwrap();
    let overlaid =
        base.overlaid(&reference("{vault://hcv/x?ttl=1.5&kv=v2&base64_decode=true&mount=kv}")).unwrap();
    assert!(overlaid.dropped.is_empty());
    assert_eq!(overlaid.settings.number("ttl"), Some(1.5));
    assert_eq!(overlaid.settings.text("kv").unwrap().expose(), "v2");
    assert!(overlaid.settings.flag("base64_decode"));
    assert_eq!(base.overlaid(&reference("{vault://hcv/x?ttl=abc}")).unwrap().settings.number("ttl"), None);
}

#[test]
fn a_reference_cannot_redirect_credentials() {
    let hcv = entity(Kind::Hcv, json!({"token": "t"})).unwrap();
    let fs = entity(Kind::Fs, json!({"prefix": "/run"})).unwrap();
    for option in ["host=evil", "port=1", "protocol=http", "token=x", "ssl_verify=false", "namespace=other"] {
        let text = format!("{{vault://hcv/x?{option}}}");
        assert!(hcv.overlaid(&reference(&text)).is_err(), "{option}");
    }
    assert!(fs.overlaid(&reference("{vault://fs/passwd?prefix=/etc}")).is_err());
}

#[test]
fn texts_from_kong_conf_are_inferred() {
    let settings = Settings::from_texts(
        Kind::Hcv,
        [("port", "8201"), ("decode_base64", "on"), ("token", "{vault://env/t}"), ("namespace", "")],
    )
    .unwrap();
    assert_eq!(settings.integer("port"), Some(8201));
    assert!(settings.flag("base64_decode") && settings.is_set("token") && !settings.is_set("namespace"));
    let errors = Settings::from_texts(Kind::Hcv, [("port", "x")]).unwrap_err();
    assert_eq!(errors, [FieldError::new("port", "expected an integer")]);
}

#[test]
fn a_filled_reference_is_checked_like_any_value() {
    let settings = entity(Kind::Hcv, json!({"token": "t", "port": "{vault://env/port}"})).unwrap();
    let (field, _) = settings.pending().next().unwrap();
    assert_eq!(settings.clone().filled(field, &Secret::from("8300")).unwrap().integer("port"), Some(8300));
    assert_eq!(settings.filled(field, &Secret::from("http")).unwrap_err().message, "expected an integer");
}

#[test]
fn fingerprints_tell_credentials_apart() {
    let of = |token: &str, mount: &str| {
        entity(Kind::Hcv, json!({"token": token, "mount": mount})).unwrap().fingerprint_of(|_| true)
    };
    assert_eq!(of("a", "b"), of("a", "b"));
    assert_ne!(of("a", "b"), of("b", "b"));
    assert_ne!(of("a", "b;token=1:a"), of("a", "b"));
}
