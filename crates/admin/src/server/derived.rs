//! What is kept of an entity beside or in place of what was given: hashes of passwords, digests of authorities.
//!
//! Owns: how they are made. Must not know: how rows are written.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, SaltString};
use postern_model::{Kind, Violation};
use postern_secrets::Template;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Admin;
use super::error::Refusal;

/// Puts into a checked body what follows from it, off the threads that answer where that takes long.
pub(crate) async fn settled(
    admin: &Admin,
    kind: Kind,
    mut body: Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    if kind.hashed().is_empty() {
        settle(kind, &mut body).map_err(|violation| Refusal::Schema(vec![violation]))?;
        return Ok(body);
    }
    let _place = admin.0.hashing.acquire().await.map_err(|_| Refusal::Unexpected)?;
    let done = tokio::task::spawn_blocking(move || settle(kind, &mut body).map(|()| body));
    let settled = done.await.map_err(|_| Refusal::Unexpected)?;
    settled.map_err(|violation| Refusal::Schema(vec![violation]))
}

/// Replaces and adds the fields of a checked body that are derived from others: passwords by their hashes, the digest of a
/// certificate. Everything that writes to a store calls it. Hashing a password takes some 20 milliseconds.
///
/// # Errors
/// What is wrong with the body.
pub fn settle(kind: Kind, body: &mut Map<String, Value>) -> Result<(), Violation> {
    for field in kind.hashed() {
        if let Some(Value::String(password)) = body.get(*field) {
            let kept = password_as_kept(field, password)?;
            body.insert((*field).to_owned(), kept.into());
        }
    }
    if kind.collection() == "ca_certificates" {
        let pem = body.get("cert").and_then(Value::as_str).unwrap_or_default();
        let digest =
            CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| hex(&Sha256::digest(&der)));
        body.insert("cert_digest".to_owned(), digest.into());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of Argon2id, unless it is one, or a reference to where it is.
fn password_as_kept(field: &str, password: &str) -> Result<String, Violation> {
    /// More memory than this is not spent on one check; the plugin refuses it.
    const MEMORY_MAX: u32 = 256 * 1024;
    let wrong = |message: &str| Violation::error(field, None, message);
    if Template::has_reference(password) {
        return Ok(password.to_owned());
    }
    if password.starts_with("$argon2") {
        let hash = PasswordHash::new(password).ok().filter(|hash| hash.hash.is_some());
        let params = hash.and_then(|hash| argon2::Params::try_from(&hash).ok());
        return match params.filter(|params| params.m_cost() <= MEMORY_MAX) {
            Some(_) => Ok(password.to_owned()),
            None => Err(wrong("a hash of Argon2 that cannot be checked here")),
        };
    }
    let mut salt = [0; 16];
    let salt = aws_lc_rs::rand::fill(&mut salt).ok().and_then(|()| SaltString::encode_b64(&salt).ok());
    let hash = salt
        .and_then(|salt| Some(Argon2::default().hash_password(password.as_bytes(), &salt).ok()?.to_string()));
    hash.ok_or_else(|| wrong("cannot be hashed"))
}
