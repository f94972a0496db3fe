//! PEM texts and JSON web keys, as far as their shape goes.
//!
//! Owns: that a text can be what it should be. Must not know: cryptography; whether a key belongs to a certificate is
//! checked where both are used. No message quotes anything.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::about;
use crate::value::Value;

/// One or more certificates. What else stands beside them (a key, the parameters of Diffie-Hellman) is not looked at: some
/// servers want all of it in one file.
pub(in crate::entity) fn certificate(value: &Value) -> Result<(), String> {
    about(value, |text| match blocks(text) {
        Some(labels) if labels.contains(&"CERTIFICATE") => Ok(()),
        _ => {
            Err("invalid certificate: expected PEM text that begins with -----BEGIN CERTIFICATE-----"
                .to_owned())
        }
    })
}

/// Exactly one certificate.
pub(in crate::entity) fn one_certificate(value: &Value) -> Result<(), String> {
    certificate(value)?;
    let certificates = |labels: Vec<&str>| labels.iter().filter(|label| **label == "CERTIFICATE").count();
    about(value, |text| match blocks(text).map(certificates) {
        Some(1) => Ok(()),
        _ => Err("please submit only one certificate at a time".to_owned()),
    })
}

/// A private key, which is not encrypted; certificates and the like may stand beside it.
pub(in crate::entity) fn private_key(value: &Value) -> Result<(), String> {
    about(value, |text| match blocks(text).as_deref() {
        Some(labels) if labels.contains(&"ENCRYPTED PRIVATE KEY") => {
            Err("invalid key: it is encrypted with a passphrase; give it in clear, or by a reference"
                .to_owned())
        }
        Some(labels) if labels.iter().filter(|label| label.ends_with("PRIVATE KEY")).count() == 1 => Ok(()),
        _ => Err("invalid key: expected PEM text that begins with -----BEGIN PRIVATE KEY-----".to_owned()),
    })
}

/// A public key.
pub(in crate::entity) fn public_key(value: &Value) -> Result<(), String> {
    about(value, |text| match blocks(text).as_deref() {
        Some([label]) if label.ends_with("PUBLIC KEY") => Ok(()),
        _ => Err("invalid key: expected PEM text that begins with -----BEGIN PUBLIC KEY-----".to_owned()),
    })
}

/// A JSON web key, as text.
pub(in crate::entity) fn jwk(value: &Value) -> Result<(), String> {
    /// Nothing is kept of it, so nothing is left behind.
    #[derive(Deserialize)]
    struct Jwk {
        #[serde(rename = "kty")]
        _kty: IgnoredAny,
    }
    about(value, |text| match serde_json::from_str::<Jwk>(text) {
        Ok(_) => Ok(()),
        Err(error) if error.is_data() => Err("invalid JWK: expected an object with kty".to_owned()),
        Err(_) => Err("could not json decode jwk string".to_owned()),
    })
}

/// The labels of the blocks of a PEM text; `None` where it is none. Text between the blocks is allowed, as usual.
fn blocks(text: &str) -> Option<Vec<&str>> {
    let mut labels = Vec::new();
    let mut open = None;
    for line in text.lines().map(str::trim) {
        let label = |start: &str| line.strip_prefix(start)?.strip_suffix("-----");
        if let Some(begun) = label("-----BEGIN ") {
            if open.replace(begun).is_some() {
                return None;
            }
        } else if let Some(ended) = label("-----END ") {
            if open.take() != Some(ended) {
                return None;
            }
            labels.push(ended);
        } else if open.is_some() && !line.is_empty() && !is_body(line) {
            return None;
        }
    }
    open.is_none().then_some(labels)
}

/// Base64, or one of the headers of an older form.
fn is_body(line: &str) -> bool {
    line.contains(": ") || line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}
