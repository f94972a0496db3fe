//! Who this side is: a client certificate with its key. Owns: reading both from PEM text, and that they belong together.
//! Must not know: who asks for it.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use postern_secret::Secret;

/// A client certificate, its chain and its key, ready for use.
#[derive(Clone)]
pub struct Identity(pub(super) Arc<CertifiedKey>);

/// Why certificate and key cannot be used. No part of either is told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The certificate or its chain.
    #[error("{0}")]
    Chain(&'static str),
    /// The key.
    #[error("{0}")]
    Key(&'static str),
    /// Each may be good, but they are not of one pair.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl Identity {
    /// Reads both from PEM text: the certificate first, then those that stand between it and its root; the key in
    /// PKCS #8, PKCS #1 or SEC 1.
    pub fn from_pem(chain: &Secret, key: &Secret) -> Result<Self, IdentityError> {
        let chain = read_chain(chain.expose())?;
        let key = read_key(key.expose())?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| IdentityError::Key("is of no kind that can be used: RSA, ECDSA or Ed25519"))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(Self(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                Err(IdentityError::Mismatch)
            }
            Err(_) => Err(IdentityError::Chain("the first certificate cannot be used")),
        }
    }
}

impl Debug for Identity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(***)")
    }
}

fn read_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.map_err(|_| IdentityError::Chain("is not PEM text that can be read"))?;
    if chain.is_empty() {
        return Err(IdentityError::Chain("holds no PEM certificate"));
    }
    if chain.iter().any(|der| X509Certificate::from_der(der).is_err()) {
        return Err(IdentityError::Chain("holds something that is no X.509 certificate"));
    }
    Ok(chain)
}

fn read_key(pem: &str) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        IdentityError::Key(if pem.contains("ENCRYPTED") {
            "is encrypted, which is not supported: `openssl pkey -in KEY` decrypts it"
        } else {
            "holds no PEM private key"
        })
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn identity(chain: &str, key: &str) -> Result<usize, IdentityError> {
        Identity::from_pem(&Secret::from(chain), &Secret::from(key)).map(|identity| identity.0.cert.len())
    }

    #[test]
    fn takes_a_certificate_with_its_chain_and_its_key() {
        let ((cert, key), (other, _)) = (pair(), pair());
        assert_eq!(identity(&cert, &key), Ok(1));
        assert_eq!(identity(&format!("{cert}\nwords between\n{other}"), &key), Ok(2));
        assert_eq!(identity(&format!("{key}{cert}"), &format!("{cert}{key}")), Ok(1), "one file for both");
        let identity = Identity::from_pem(&Secret::from(cert), &Secret::from(key)).unwrap();
        assert_eq!(format!("{identity:?}"), "Identity(***)");
    }

    #[test]
    fn says_what_is_wrong_and_with_which() {
        let ((cert, key), (other, _)) = (pair(), pair());
        let chain = |text| Err(IdentityError::Chain(text));
        assert_eq!(identity("/etc/cert.pem", &key), chain("holds no PEM certificate"));
        assert_eq!(identity(&cert.replace('M', "!"), &key), chain("is not PEM text that can be read"));
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(identity(empty, &key), chain("holds something that is no X.509 certificate"));
        assert_eq!(identity(&cert, &cert), Err(IdentityError::Key("holds no PEM private key")));
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        assert!(
            matches!(identity(&cert, &encrypted), Err(IdentityError::Key(text)) if text.contains("encrypted"))
        );
        assert_eq!(identity(&other, &key), Err(IdentityError::Mismatch));
        assert_eq!(
            identity(&format!("{other}{cert}"), &key),
            Err(IdentityError::Mismatch),
            "the order counts"
        );
    }
}
