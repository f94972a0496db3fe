//! What a vault of kind `hcv` can be configured with, and which fields need which. Owns: the list, in the order of
//! Kong's reference, with every spelling in use. Must not know: how a login works.

use super::{BASE64_DECODE, Default, Exposure, Field, NEG_TTL, RESURRECT_TTL, Rule, TEXT, TTL, Type};
use crate::settings::{FieldError, Settings};

/// The logins that Kong's schema names; [`conflicts`] says which ones this build has.
const AUTH_METHODS: &[&str] = &[
    "token",
    "kubernetes",
    "approle",
    "cert",
    "jwt",
    "oauth2",
    "aws_ec2",
    "aws_iam",
    "gcp_iam",
    "gcp_gce",
    "azure",
];

const FIXED: Field = Field { exposure: Exposure::Fixed, ..TEXT };
const CREDENTIAL: Field = Field { exposure: Exposure::Secret, ..TEXT };

/// The fields of kind `hcv`.
pub const FIELDS: &[Field] = &[
    Field {
        name: "protocol",
        default: Some(Default::Text("http")),
        rule: Rule::OneOf(&["http", "https"]),
        doc: "How to speak to the vault.",
        ..FIXED
    },
    Field {
        name: "host",
        default: Some(Default::Text("127.0.0.1")),
        rule: Rule::Matches("^[^/@?#\\s]+$", is_host),
        doc: "The vault's host name or address.",
        ..FIXED
    },
    Field {
        name: "port",
        ty: Type::Integer,
        default: Some(Default::Integer(8200)),
        rule: Rule::Between(0.0, 65535.0),
        doc: "The vault's port.",
        ..FIXED
    },
    Field {
        name: "mount",
        default: Some(Default::Text("secret")),
        rule: Rule::NotBlank,
        doc: "Where the KV engine is mounted.",
        ..TEXT
    },
    Field {
        name: "kv",
        default: Some(Default::Text("v1")),
        rule: Rule::OneOf(&["v1", "v2"]),
        doc: "The version of the KV engine.",
        ..TEXT
    },
    Field { name: "namespace", doc: "Sent as X-Vault-Namespace, for logins too.", ..FIXED },
    Field { name: "token", doc: "The client token for auth_method token.", ..CREDENTIAL },
    Field {
        name: "auth_method",
        default: Some(Default::Text("token")),
        rule: Rule::OneOf(AUTH_METHODS),
        doc: "How to log in; oauth2 is another name of jwt.",
        ..FIXED
    },
    Field {
        name: "ssl_verify",
        ty: Type::Boolean,
        default: Some(Default::Boolean(true)),
        doc: "Whether the vault's and the IdP's certificates are verified.",
        ..FIXED
    },
    Field { name: "kube_role", doc: "The role for auth_method kubernetes.", ..FIXED },
    Field {
        name: "kube_auth_path",
        default: Some(Default::Text("kubernetes")),
        doc: "Mount of the kubernetes auth method.",
        ..FIXED
    },
    Field {
        name: "kube_api_token_file",
        doc: "File with the service account's token, read at each login; without one \
              /run/secrets/kubernetes.io/serviceaccount/token.",
        ..FIXED
    },
    Field {
        name: "approle_auth_path",
        default: Some(Default::Text("approle")),
        doc: "Mount of the AppRole auth method.",
        ..FIXED
    },
    Field { name: "approle_role_id", rule: Rule::NotBlank, doc: "The AppRole's role id.", ..CREDENTIAL },
    Field { name: "approle_secret_id", rule: Rule::NotBlank, doc: "The AppRole's secret id.", ..CREDENTIAL },
    Field {
        name: "approle_secret_id_file",
        rule: Rule::NotBlank,
        doc: "File with the AppRole's secret id, read at each login; approle_secret_id counts before it.",
        ..FIXED
    },
    Field {
        name: "approle_response_wrapping",
        aliases: &["approle_respons_wrapping"],
        ty: Type::Boolean,
        default: Some(Default::Boolean(false)),
        doc: "Whether what is given as secret id is a token that wraps it; it is unwrapped once, and held in memory.",
        ..FIXED
    },
    Field {
        name: "cert_auth_role_name",
        doc: "The certificate role; without it the vault tries all.",
        ..FIXED
    },
    Field {
        name: "cert_auth_cert",
        doc: "The client certificate with its chain, as PEM text.",
        ..CREDENTIAL
    },
    Field { name: "cert_auth_cert_key", doc: "The client certificate's key, as PEM text.", ..CREDENTIAL },
    Field { name: "jwt_role", aliases: &["oauth2_role_name"], doc: "The role for auth_method jwt.", ..FIXED },
    Field {
        name: "oauth2_token_endpoint",
        rule: Rule::Url,
        doc: "Where the IdP issues access tokens.",
        ..FIXED
    },
    Field { name: "oauth2_client_id", rule: Rule::NotBlank, doc: "The client's id at the IdP.", ..FIXED },
    Field { name: "oauth2_client_secret", doc: "The client's secret at the IdP.", ..CREDENTIAL },
    Field {
        name: "oauth2_audiences",
        ty: Type::Strings,
        doc: "Audiences to ask the IdP for, with commas.",
        ..FIXED
    },
    Field {
        name: "jwt_auth_path",
        default: Some(Default::Text("jwt")),
        doc: "Mount of the JWT auth method. Postern's own.",
        ..FIXED
    },
    Field {
        name: "oauth2_scopes",
        ty: Type::Strings,
        doc: "Scopes to ask the IdP for, with commas. Postern's own.",
        ..FIXED
    },
    Field {
        name: "oauth2_client_auth_method",
        default: Some(Default::Text("client_secret_post")),
        rule: Rule::OneOf(&["client_secret_post", "client_secret_basic"]),
        doc: "How the client shows its secret to the IdP (RFC 6749, 2.3.1). Postern's own.",
        ..FIXED
    },
    Field {
        name: "jwt_file",
        doc: "File with the JWT to log in with, instead of an IdP; read at each login. Postern's own.",
        ..FIXED
    },
    Field { name: "gcp_auth_role", doc: "The role for the GCP logins.", ..FIXED },
    Field { name: "gcp_login_path", doc: "Path of the GCP login.", ..FIXED },
    Field { name: "gcp_service_account", doc: "The service account for gcp_iam.", ..FIXED },
    Field {
        name: "gcp_jwt_exp",
        ty: Type::Number,
        rule: Rule::Between(0.0, 900.0),
        doc: "Life of the signed JWT in seconds, for gcp_iam.",
        ..FIXED
    },
    Field { name: "azure_auth_role", doc: "The role for the Azure login.", ..FIXED },
    Field { name: "azure_login_path", doc: "Path of the Azure login.", ..FIXED },
    Field { name: "aws_auth_role", doc: "The role for the AWS logins.", ..FIXED },
    Field { name: "aws_login_path", doc: "Path of the AWS login.", ..FIXED },
    Field { name: "aws_auth_nonce", doc: "The nonce for aws_ec2.", ..CREDENTIAL },
    Field { name: "aws_auth_region", doc: "The region for aws_iam.", ..FIXED },
    Field { name: "aws_access_key_id", doc: "An AWS access key, for aws_iam.", ..CREDENTIAL },
    Field { name: "aws_secret_access_key", doc: "The AWS access key's secret, for aws_iam.", ..CREDENTIAL },
    Field { name: "aws_sts_endpoint_url", rule: Rule::Url, doc: "The STS endpoint, for aws_iam.", ..FIXED },
    Field { name: "aws_assume_role_arn", doc: "A role to assume first, for aws_iam.", ..FIXED },
    Field { name: "aws_role_session_name", doc: "The session's name for the assumed role.", ..FIXED },
    TTL,
    NEG_TTL,
    RESURRECT_TTL,
    BASE64_DECODE,
];

/// What the chosen login needs and does not have, and logins that this build does not have.
pub(crate) fn conflicts(settings: &Settings) -> Vec<FieldError> {
    // A method that is itself a reference is looked at when its value is known.
    let Some(method) = settings.text("auth_method") else { return Vec::new() };
    let method = method.expose();
    let required = |names| required(settings, method, names);
    match method {
        "token" => required(&["token"]),
        "approle" => {
            let mut errors = required(&["approle_role_id"]);
            if !settings.is_set("approle_secret_id") && !settings.is_set("approle_secret_id_file") {
                errors.push(
                    FieldError::new("approle_secret_id", "required field missing")
                        .with_hint("auth_method approle needs it, or approle_secret_id_file"),
                );
            }
            errors
        }
        "kubernetes" => required(&["kube_role"]),
        "cert" => {
            let mut errors = required(&["cert_auth_cert", "cert_auth_cert_key"]);
            errors.extend(not_over_tls(settings));
            errors.extend(
                ["cert_auth_cert", "cert_auth_cert_key"].iter().filter_map(|name| not_pem(settings, name)),
            );
            errors
        }
        "jwt" | "oauth2" => {
            let mut errors = required(&["jwt_role"]);
            if !settings.is_set("jwt_file") {
                errors.extend(required(&[
                    "oauth2_token_endpoint",
                    "oauth2_client_id",
                    "oauth2_client_secret",
                ]));
            } else if settings.is_set("oauth2_token_endpoint") {
                errors.push(
                    FieldError::new("jwt_file", "cannot be used together with oauth2_token_endpoint")
                        .with_hint("a token comes either from the file or from the IdP; remove one"),
                );
            }
            errors
        }
        other => {
            vec![FieldError::new("auth_method", format!("'{other}' is not in this build")).with_hint(
                "this build logs in by: token, approle, kubernetes, cert, jwt (also spelled oauth2)",
            )]
        }
    }
}

/// A client certificate is shown in TLS, and nowhere else.
fn not_over_tls(settings: &Settings) -> Option<FieldError> {
    let protocol = settings.text("protocol").filter(|protocol| protocol.expose() != "https")?;
    let error =
        FieldError::new("protocol", format!("is {}, but auth_method cert needs https", protocol.expose()));
    Some(error.with_hint("the certificate is shown in the TLS handshake: set protocol: https"))
}

/// The usual mistake with PEM: the path of the file.
fn not_pem(settings: &Settings, name: &'static str) -> Option<FieldError> {
    settings.text(name).filter(|text| !text.expose().contains("-----BEGIN"))?;
    Some(FieldError::new(name, "is not PEM text").with_hint(
        "the text itself is wanted, from its -----BEGIN line on, not a path; a reference can bring it in, such as \
         \"{vault://env/my-cert}\"",
    ))
}

fn required(settings: &Settings, method: &str, names: &[&str]) -> Vec<FieldError> {
    let absent = names.iter().filter(|name| !settings.is_set(name));
    let errors = absent.map(|name| {
        FieldError::new(*name, "required field missing").with_hint(format!("auth_method {method} needs it"))
    });
    errors.collect()
}

/// A name or address without anything that could change the meaning of the URL around it.
fn is_host(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\@?#%".contains(c))
}
