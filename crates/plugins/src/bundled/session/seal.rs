//! A session as the value of a cookie, which only this gateway can write and read.
//!
//! Owns: what is in it, and that it is whole, of this plugin, under this name and for this audience. Must not know: cookies,
//! timeouts. AES-256-GCM with a key that HKDF makes of the secret; what binds a session to its place is authenticated, not sent.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_secrets::Secret;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A longer value is no session.
const LONGEST: usize = 1024;
const VERSION: u8 = 1;
/// Of a sealed session, before the tag.
const LENGTH: usize = 1 + 16 + 16 + 16 + 3 * 8 + 1 + 32;

/// Somebody who was let in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: Uuid,
    pub(super) consumer: Uuid,
    pub(super) credential: Uuid,
    /// In seconds since 1970: when it began, when it was last renewed, when it was last used.
    pub(super) began: u64,
    pub(super) renewed: u64,
    pub(super) used: u64,
    /// It is one that stays when the browser is closed.
    pub(super) remembered: bool,
    /// A hash of what it is bound to of its client.
    pub(super) bound: [u8; 32],
}

/// Seals and opens.
pub(super) struct Seal(RandomizedNonceKey);

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

impl Seal {
    /// With a secret of any length.
    pub(super) fn new(secret: &Secret) -> Option<Self> {
        let made = Salt::new(HKDF_SHA256, b"postern session").extract(secret.expose().as_bytes());
        let mut key = Zeroizing::new([0; 32]);
        made.expand(&[b"cookie, AES-256-GCM"], KeyLength).ok()?.fill(key.as_mut()).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok().map(Self)
    }

    /// As a cookie's value. `place` is what it is bound to besides.
    pub(super) fn seal(&self, session: &Session, place: &[u8]) -> Option<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH + 16));
        bytes.push(VERSION);
        for id in [session.id, session.consumer, session.credential] {
            bytes.extend_from_slice(id.as_bytes());
        }
        for time in [session.began, session.renewed, session.used] {
            bytes.extend_from_slice(&time.to_be_bytes());
        }
        bytes.push(u8::from(session.remembered));
        bytes.extend_from_slice(&session.bound);
        let nonce = self.0.seal_in_place_append_tag(Aad::from(place), &mut *bytes).ok()?;
        let sealed: Vec<u8> = nonce.as_ref().iter().chain(bytes.iter()).copied().collect();
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Of a cookie's value, whoever sent it.
    pub(super) fn open(&self, value: &str, place: &[u8]) -> Option<Session> {
        if value.len() > LONGEST {
            return None;
        }
        let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(value).ok()?);
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain: &[u8] = self.0.open_in_place(nonce, Aad::from(place), sealed).ok()?;
        let (version, rest) = plain.split_first()?;
        if *version != VERSION || plain.len() != LENGTH {
            return None;
        }
        let id = |at: usize| Uuid::from_slice(rest.get(at..at + 16)?).ok();
        let time = |at: usize| Some(u64::from_be_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        Some(Session {
            id: id(0)?,
            consumer: id(16)?,
            credential: id(32)?,
            began: time(48)?,
            renewed: time(56)?,
            used: time(64)?,
            remembered: *rest.get(72)? == 1,
            bound: rest.get(73..105)?.try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session() -> Session {
        Session {
            id: Uuid::from_u128(1),
            consumer: Uuid::from_u128(2),
            credential: Uuid::from_u128(3),
            began: 4,
            renewed: 5,
            used: 6,
            remembered: true,
            bound: [7; 32],
        }
    }

    #[test]
    fn only_what_was_sealed_here_opens() {
        let seal = Seal::new(&Secret::from("one")).unwrap();
        let sealed = seal.seal(&session(), b"here").unwrap();
        assert_eq!(seal.open(&sealed, b"here"), Some(session()));
        assert_ne!(seal.seal(&session(), b"here").unwrap(), sealed, "each has a nonce of its own");
        assert_eq!(seal.open(&sealed, b"there"), None);
        assert_eq!(Seal::new(&Secret::from("two")).unwrap().open(&sealed, b"here"), None);
        for at in 0..sealed.len() - 1 {
            let mut tampered = sealed.clone().into_bytes();
            tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open(std::str::from_utf8(&tampered).unwrap(), b"here"), None, "{at}");
        }
        assert_eq!(seal.open(&sealed[..sealed.len() - 4], b"here"), None);
        assert_eq!(seal.open(&sealed.repeat(20), b"here"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_opens(value in "\\PC{0,300}", bytes: Vec<u8>) {
            let seal = Seal::new(&Secret::from("one")).unwrap();
            prop_assert_eq!(seal.open(&value, b""), None);
            prop_assert_eq!(seal.open(&URL_SAFE_NO_PAD.encode(bytes), b""), None);
        }
    }
}
