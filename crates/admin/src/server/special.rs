//! What is special about a kind when it is written or shown.
//!
//! Owns: credentials that the gateway makes up, passwords that are kept as hashes, digests of authorities, server names
//! of certificates, fields that are shown with one flavour of the router only. Must not know: how rows are written.

use std::collections::HashMap;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, SaltString};
use postern_config::store::{Expect, Filter, Row, Select, Step};
use postern_model::{Kind, Violation};
use postern_secrets::Template;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::Refusal;
use super::page::SIZE_MAX;
use super::row::{key, row};
use super::{About, Admin};

/// What the gateway makes up where nobody gives it.
pub(crate) const MADE_UP: &[(&str, &[&str])] = &[
    ("keyauth_credentials", &["key"]),
    ("hmacauth_credentials", &["secret"]),
    ("jwt_secrets", &["key", "secret"]),
];

/// Fills in what the gateway makes up.
pub(crate) fn make_up(kind: Kind, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    let fields = MADE_UP.iter().find(|(name, _)| *name == kind.collection()).map(|(_, fields)| *fields);
    for field in fields.unwrap_or_default() {
        if body.get(*field).is_none_or(Value::is_null) {
            body.insert((*field).to_owned(), random()?.into());
        }
    }
    Ok(())
}

/// 32 letters and digits, as Kong's: some 190 bits.
fn random() -> Result<String, Refusal> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(32);
    while text.len() < 32 {
        let mut bytes = [0; 64];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refusal::Unexpected)?;
        // Bytes from 248 on would make the first letters more likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        text.extend(fair.map(|byte| char::from(LETTERS[usize::from(*byte) % 62])).take(32 - text.len()));
    }
    Ok(text)
}

/// Puts into a checked body what follows from it, off the threads that answer where that takes long.
pub(crate) async fn settled(
    admin: &Admin,
    kind: Kind,
    mut body: Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    if kind.collection() != "basicauth_credentials" {
        settle(kind, &mut body).map_err(|violation| Refusal::Schema(vec![violation]))?;
        return Ok(body);
    }
    let _place = admin.0.hashing.acquire().await.map_err(|_| Refusal::Unexpected)?;
    let done = tokio::task::spawn_blocking(move || settle(kind, &mut body).map(|()| body));
    let settled = done.await.map_err(|_| Refusal::Unexpected)?;
    settled.map_err(|violation| Refusal::Schema(vec![violation]))
}

/// Puts into a checked body what follows from it: a hash in place of a password, the digest of a certificate. Whoever
/// fills a store by other ways does so too. A password takes some 20 milliseconds.
///
/// # Errors
/// What is wrong with the body.
pub fn settle(kind: Kind, body: &mut Map<String, Value>) -> Result<(), Violation> {
    match kind.collection() {
        "basicauth_credentials" => {
            if let Some(Value::String(password)) = body.get("password") {
                let kept = password_as_kept(password)?;
                body.insert("password".to_owned(), kept.into());
            }
        }
        "ca_certificates" => {
            let pem = body.get("cert").and_then(Value::as_str).unwrap_or_default();
            let digest =
                CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| hex(&Sha256::digest(&der)));
            body.insert("cert_digest".to_owned(), digest.into());
        }
        _ => {}
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of Argon2id, unless it is one, or a reference to where it is.
fn password_as_kept(password: &str) -> Result<String, Violation> {
    /// More memory than this is not spent on one check; the plugin refuses it.
    const MEMORY_MAX: u32 = 256 * 1024;
    let wrong = |message: &str| Violation::error("password", None, message);
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

/// The server names that a body gives a certificate, taken out of it.
pub(crate) fn snis(kind: Kind, body: &mut Map<String, Value>) -> Result<Option<Vec<String>>, Refusal> {
    if kind.collection() != "certificates" {
        return Ok(None);
    }
    let wrong = |message: String| Refusal::Schema(vec![Violation::error("snis", None, message)]);
    let names = match body.remove("snis") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(names)) => names,
        Some(_) => return Err(wrong("expected an array".to_owned())),
    };
    let mut seen = Vec::with_capacity(names.len());
    for name in names {
        let Value::String(name) = name else { return Err(wrong("expected a string".to_owned())) };
        if seen.contains(&name) {
            return Err(wrong(format!("{name} is duplicated")));
        }
        if seen.len() >= SIZE_MAX {
            return Err(wrong(format!("more than {SIZE_MAX}")));
        }
        seen.push(name);
    }
    Ok(Some(seen))
}

/// The steps by which a certificate has these server names and no others.
pub(crate) async fn sni_steps(
    admin: &Admin,
    certificate: Uuid,
    names: &[String],
    now: i64,
) -> Result<Vec<Step>, Refusal> {
    let mut there = snis_of(admin, Some(certificate)).await?.remove(&certificate).unwrap_or_default();
    let mut steps = Vec::new();
    for name in names {
        if let Some(at) = there.iter().position(|(known, _)| known == name) {
            there.swap_remove(at);
            continue;
        }
        if let Some(other) = admin.store().find("snis", &key(&["name"], &[name.as_str().into()])).await? {
            let holder = other.row.body.get("certificate").and_then(|other| other.get("id")?.as_str());
            let message = format!(
                "{name} already associated with existing certificate '{}'",
                holder.unwrap_or_default()
            );
            return Err(Refusal::Schema(vec![Violation::error("snis", None, message)]));
        }
        steps.push(Step::Put(sni(certificate, name, now)?, Expect::Absent));
    }
    // Gone first, so that nothing is in the way of what comes.
    let gone = there.into_iter().map(|(_, id)| Step::Delete { kind: "snis".to_owned(), id });
    Ok(gone.chain(steps).collect())
}

fn sni(certificate: Uuid, name: &str, now: i64) -> Result<Row, Refusal> {
    let id = Uuid::new_v4();
    let body = json!({
        "id": id, "name": name, "certificate": { "id": certificate }, "created_at": now, "updated_at": now,
    });
    let Some(kind) = Kind::named("snis") else { return Err(Refusal::Unexpected) };
    let checked =
        kind.check(body.as_object().unwrap_or(&Map::new()), &Vec::new()).map_err(|mut violations| {
            for violation in &mut violations {
                violation.path = "snis".to_owned();
            }
            Refusal::Schema(violations)
        })?;
    Ok(row(kind, id, checked.body))
}

/// Names and identifiers of server names, by certificate: of one, or of all.
async fn snis_of(
    admin: &Admin,
    certificate: Option<Uuid>,
) -> Result<HashMap<Uuid, Vec<(String, Uuid)>>, Refusal> {
    let filter = certificate.map(|id| Filter::RefersTo { field: "certificate".to_owned(), id });
    let mut select = Select { kind: "snis".to_owned(), after: None, size: SIZE_MAX, filter, tags: None };
    let mut found: HashMap<Uuid, Vec<(String, Uuid)>> = HashMap::new();
    loop {
        let page = admin.store().page(&select).await?;
        select.after = page.rows.last().map(|kept| kept.row.id);
        for kept in page.rows {
            let Some(reference) = kept.row.references.first() else { continue };
            let name = kept.row.body.get("name").and_then(Value::as_str).unwrap_or_default();
            found.entry(reference.id).or_default().push((name.to_owned(), kept.row.id));
        }
        if !page.more {
            return Ok(found);
        }
    }
}

/// Entities as they are shown.
pub(crate) async fn shown(admin: &Admin, kind: Kind, rows: Vec<Row>) -> Result<Vec<Value>, Refusal> {
    let mut snis = match (kind.collection(), rows.as_slice()) {
        ("certificates", [one]) => snis_of(admin, Some(one.id)).await?,
        ("certificates", [_, ..]) => snis_of(admin, None).await?,
        _ => HashMap::new(),
    };
    let hidden = hidden(kind, &admin.node().about());
    let show = |row: Row| {
        let mut body = row.body;
        hidden.iter().for_each(|field| {
            body.remove(*field);
        });
        if kind.collection() == "certificates" {
            let mut names: Vec<String> =
                snis.remove(&row.id).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
            names.sort();
            body.insert("snis".to_owned(), names.into());
        }
        Value::Object(body)
    };
    Ok(rows.into_iter().map(show).collect())
}

/// Fields that are not shown: decK would send a priority along with every route.
pub(crate) fn hidden(kind: Kind, about: &About) -> &'static [&'static str] {
    match kind.collection() {
        "routes" if about.router_flavor != "expressions" => &["expression", "priority"],
        _ => &[],
    }
}
