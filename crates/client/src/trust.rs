//! Whom to trust: the certificates of kong.conf's `lua_ssl_trusted_certificate`. Owns: the forms in which they may
//! be given. Must not know: how a chain is verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

use crate::io_reason::io_reason;

/// A set of trusted certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    given: Vec<CertificateDer<'static>>,
    system: bool,
}

/// Why a list of trusted certificates cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's words.
        reason: String,
    },
    /// There is no certificate where one should be.
    #[error("{place} holds no PEM certificate")]
    NoCertificate {
        /// The file, or which form of text.
        place: String,
    },
}

impl Trust {
    /// Nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every item is `system`, the path of a PEM file, PEM text, or base64 of PEM text.
    pub fn from_items<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, TrustError> {
        let mut trust = Self::none();
        for item in items.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
            if item == "system" {
                trust.system = true;
            } else {
                trust.given.extend(from_item(item)?);
            }
        }
        Ok(trust)
    }

    /// The certificates. Those of the system are read now, not before: most vaults of a development machine are never
    /// spoken to over TLS, and reading them takes longer than everything else that a command does.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let mut certificates = self.given.clone();
        if self.system {
            certificates.extend(of_this_system());
        }
        certificates
    }
}

fn of_this_system() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a trusted certificate of this system cannot be read");
    }
    if found.certs.is_empty() {
        tracing::warn!("no trusted certificates were found on this system");
    }
    found.certs
}

fn from_item(item: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    if let Some(certificates) = from_text(item) {
        return certificates;
    }
    let bytes = std::fs::read(item)
        .map_err(|error| TrustError::Unreadable { path: item.to_owned(), reason: io_reason(&error) })?;
    from_pem(&bytes, item)
}

/// What stands in the item itself; `None` where it must be a path.
pub(crate) fn from_text(item: &str) -> Option<Result<Vec<CertificateDer<'static>>, TrustError>> {
    if item.starts_with("-----BEGIN") {
        return Some(from_pem(item.as_bytes(), "the PEM text"));
    }
    // A path is hardly ever valid base64 of a PEM text, so there is no doubt between the two.
    let joined: String = item.split_ascii_whitespace().collect();
    let pem = STANDARD.decode(&joined).ok().filter(|pem| pem.starts_with(b"-----BEGIN"))?;
    Some(from_pem(&pem, "the base64 text"))
}

fn from_pem(bytes: &[u8], place: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TrustError::NoCertificate { place: place.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_form() {
        let pem = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{pem}{pem}")).unwrap();
        let path = file.path().to_str().unwrap();
        let base64 = STANDARD.encode(&pem);
        let count = |items: &[&str]| Trust::from_items(items.iter().copied()).unwrap().certificates().len();
        assert_eq!(count(&[&pem]), 1);
        assert_eq!(count(&[&base64]), 1);
        assert_eq!(count(&[path]), 2);
        assert_eq!(count(&[path, " ", &pem]), 3);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn says_what_is_wrong() {
        let message = |item: &str| Trust::from_items([item]).unwrap_err().to_string();
        assert_eq!(message("/nowhere/ca.pem"), "cannot read /nowhere/ca.pem: no such file or directory");
        assert_eq!(message("-----BEGIN CERTIFICATE-----"), "the PEM text holds no PEM certificate");
        assert_eq!(message("/dev/null"), "/dev/null holds no PEM certificate");
    }
}
