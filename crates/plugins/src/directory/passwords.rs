//! Credentials of `basic-auth`: how a password is checked.
//!
//! Owns: the forms in which a password is kept, none of which is the password. Must not know: requests, threads;
//! what takes long ([`Check::Slow`]) is handed to the caller, who has somewhere to run it.
//!
//! A name that nobody has is checked like one that somebody has: the same work, then a refusal. So the time that an
//! answer takes does not tell which names there are.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, rand};
use http::HeaderValue;
use postern_model::Text;
use postern_model::entity::BasicauthCredential;
use postern_secrets::Secret;
use tracing::warn;
use uuid::Uuid;

use super::{Consumer, Consumers, PasswordForm};

/// The most memory that an Argon2 hash may ask for, in KiB. Beyond it, a few logins would exhaust the machine.
const ARGON2_MEMORY_MAX: u32 = 256 * 1024;

/// A name with a password, and whose it is.
#[derive(Debug)]
pub struct PasswordCredential {
    /// The identifier.
    pub id: Uuid,
    /// Whose it is.
    pub consumer: Arc<Consumer>,
    /// `X-Credential-Identifier`: the name, where it can stand in a header.
    pub identifier: Option<HeaderValue>,
    kept: Kept,
}

/// How a password is kept.
#[derive(Debug)]
enum Kept {
    /// HMAC-SHA256 under the process's own key.
    Mac(hmac::Tag),
    /// SHA-1 of the password and the consumer's identifier, as Kong keeps it.
    Sha1([u8; 20]),
    /// `$argon2id$...`
    Argon2(Secret),
    /// In a form that cannot be read; no password fits.
    Unreadable,
}

/// What a first look at a password says.
#[derive(Debug)]
pub enum Check {
    /// It is right.
    Right,
    /// It is wrong, or the name is not known.
    Wrong,
    /// It takes a while to tell.
    Slow(Slow),
}

/// A check that takes long, to be run where it holds nobody up.
#[derive(Clone, Debug)]
pub struct Slow {
    hash: Secret,
    /// Whether a password that fits is right. `false` for a name that nobody has.
    counts: bool,
    /// Tells this check of this password from others, without telling the password.
    pub fingerprint: [u8; 32],
}

impl Slow {
    /// Runs it: some tens of milliseconds, and some tens of megabytes.
    pub fn run(&self, password: &[u8]) -> bool {
        let Ok(hash) = PasswordHash::new(self.hash.expose()) else { return false };
        Argon2::default().verify_password(password, &hash).is_ok() & self.counts
    }
}

/// All names and passwords.
#[derive(Debug)]
pub struct Passwords {
    mac: hmac::Key,
    by_name: HashMap<String, PasswordCredential>,
    /// What is compared with where there is nothing to compare with.
    nobody: hmac::Tag,
    /// One of the Argon2 hashes: what a wrong name costs where a right one costs as much.
    slowest: Option<Secret>,
    /// Whether some are kept as SHA-1, likewise.
    some_sha1: bool,
}

impl Default for Passwords {
    fn default() -> Self {
        let mut key = [0; 32];
        // Without random numbers there is no TLS either: nothing of a gateway would work.
        rand::fill(&mut key).expect("the system gives random numbers");
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let nobody = hmac::sign(&mac, b"");
        Self { mac, by_name: HashMap::new(), nobody, slowest: None, some_sha1: false }
    }
}

impl Passwords {
    pub(super) fn new(
        credentials: Vec<(Uuid, BasicauthCredential)>,
        consumers: &Consumers,
        form: PasswordForm,
    ) -> Self {
        let mut passwords = Self::default();
        for (id, BasicauthCredential { consumer, username, password }) in credentials {
            let Some(consumer) = consumers.get(&consumer.id) else { continue };
            let kept = passwords.keep(&password, form);
            match &kept {
                Kept::Argon2(hash) => passwords.slowest = Some(hash.clone()),
                Kept::Unreadable => {
                    warn!(credential = %id, "the password's hash cannot be read; no password fits it")
                }
                Kept::Sha1(_) => passwords.some_sha1 = true,
                Kept::Mac(_) => {}
            }
            let identifier = HeaderValue::from_bytes(username.as_bytes()).ok();
            let credential = PasswordCredential { id, consumer: Arc::clone(consumer), identifier, kept };
            passwords.by_name.insert(username.as_str().to_owned(), credential);
        }
        passwords
    }

    fn keep(&self, password: &Text, form: PasswordForm) -> Kept {
        if password.starts_with("$argon2") {
            return if is_usable(password) {
                Kept::Argon2(password.secret().clone())
            } else {
                Kept::Unreadable
            };
        }
        match form {
            PasswordForm::Plain => Kept::Mac(hmac::sign(&self.mac, password.as_bytes())),
            PasswordForm::KongSha1 => sha1_of(password).map_or(Kept::Unreadable, Kept::Sha1),
        }
    }

    /// The credential of this name. Whether the password is right, [`Passwords::check`] says; it is asked in any case.
    pub fn find(&self, username: &str) -> Option<&PasswordCredential> {
        self.by_name.get(username)
    }

    /// Looks at a password for a credential that was found, or not found, by its name.
    pub fn check(&self, credential: Option<&PasswordCredential>, password: &[u8]) -> Check {
        let mac = hmac::sign(&self.mac, password);
        let kept = credential.map(|credential| &credential.kept);
        if let Some(Kept::Argon2(hash)) = kept {
            return Check::Slow(self.slow(hash, true, credential, &mac));
        }
        let owner = credential.map(|credential| credential.consumer.id).unwrap_or_default();
        let sha1 = if self.some_sha1 { salted_sha1(password, owner) } else { [0; 20] };
        let right = match kept {
            Some(Kept::Mac(tag)) => verify_slices_are_equal(tag.as_ref(), mac.as_ref()).is_ok(),
            Some(Kept::Sha1(hash)) => verify_slices_are_equal(&sha1, hash).is_ok(),
            _ => {
                let _ = verify_slices_are_equal(self.nobody.as_ref(), mac.as_ref());
                false
            }
        };
        match (&self.slowest, right) {
            (_, true) => Check::Right,
            (Some(hash), false) => Check::Slow(self.slow(hash, false, credential, &mac)),
            (None, false) => Check::Wrong,
        }
    }

    fn slow(
        &self,
        hash: &Secret,
        counts: bool,
        credential: Option<&PasswordCredential>,
        mac: &hmac::Tag,
    ) -> Slow {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(credential.map(|credential| credential.id).unwrap_or_default().as_bytes());
        context.update(mac.as_ref());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.sign().as_ref());
        Slow { hash: hash.clone(), counts, fingerprint }
    }
}

/// Whether it is an Argon2 hash that can be verified here.
fn is_usable(text: &str) -> bool {
    let Ok(hash) = PasswordHash::new(text) else { return false };
    let params = argon2::Params::try_from(&hash);
    hash.hash.is_some() && params.is_ok_and(|params| params.m_cost() <= ARGON2_MEMORY_MAX)
}

/// 40 hexadecimal digits.
fn sha1_of(text: &str) -> Option<[u8; 20]> {
    let mut hash = [0; 20];
    if text.len() != 40 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn salted_sha1(password: &[u8], consumer: Uuid) -> [u8; 20] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(password);
    let mut buffer = Uuid::encode_buffer();
    context.update(consumer.hyphenated().encode_lower(&mut buffer).as_bytes());
    let mut hash = [0; 20];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
