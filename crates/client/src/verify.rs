//! Verifying the other side's certificate, and saying why not in the words that people search for.
//!
//! Owns: the map from what rustls found, and from the chain that was shown, to OpenSSL's verify codes. Must not
//! know: HTTP, vaults.
//!
//! One thing is decided otherwise than in webpki: a certificate that is itself in the list of trusted ones is
//! trusted as it stands, even if it calls itself a CA, because that is what `openssl req -x509` makes and what the
//! documentation tells people to put there. Its host names and dates count all the same.

use std::collections::HashSet;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use thiserror::Error as ThisError;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::Identity;
use super::trust::Trust;

/// Why a certificate chain was refused. The texts are OpenSSL's, with its numbers, where it has them.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum Untrusted {
    /// A trusted certificate's issuer is neither shown nor trusted.
    #[error("2: unable to get issuer certificate")]
    NoIssuer,
    /// A signature in the chain is wrong.
    #[error("7: certificate signature failure")]
    BadSignature,
    /// Too early.
    #[error("9: certificate is not yet valid")]
    NotYetValid,
    /// Too late.
    #[error("10: certificate has expired")]
    Expired,
    /// One certificate, signed by itself.
    #[error("18: self-signed certificate")]
    SelfSigned,
    /// The chain ends in a self-signed certificate that is not trusted.
    #[error("19: self-signed certificate in certificate chain")]
    SelfSignedInChain,
    /// The chain ends before a trusted certificate.
    #[error("20: unable to get local issuer certificate")]
    NoLocalIssuer,
    /// One certificate, signed by another that is not at hand.
    #[error("21: unable to verify the first certificate")]
    NoFirstIssuer,
    /// Revoked.
    #[error("23: certificate revoked")]
    Revoked,
    /// Not for servers.
    #[error("26: unsuitable certificate purpose")]
    WrongPurpose,
    /// Not for this host.
    #[error("certificate host mismatch")]
    HostMismatch,
    /// Something rarer, in rustls's words.
    #[error("certificate not usable: {0}")]
    Other(String),
}

impl Untrusted {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Untrusted::SelfSigned => {
                "add the self-signed certificate to lua_ssl_trusted_certificate in kong.conf \
                 (KONG_LUA_SSL_TRUSTED_CERTIFICATE): a path, PEM text, or base64 of it"
            }
            Untrusted::SelfSignedInChain => {
                "the server's chain ends in a private CA: add that CA's certificate to lua_ssl_trusted_certificate \
                 (KONG_LUA_SSL_TRUSTED_CERTIFICATE)"
            }
            Untrusted::NoIssuer | Untrusted::NoLocalIssuer | Untrusted::NoFirstIssuer => {
                "add the CA that issued the server's certificate, with the whole chain, to \
                 lua_ssl_trusted_certificate (KONG_LUA_SSL_TRUSTED_CERTIFICATE); a vault in dev mode makes its own CA"
            }
            Untrusted::HostMismatch => {
                "host in the vault's configuration must be one of the names (subjectAltName) in the server's certificate"
            }
            Untrusted::Expired => "renew the server's certificate, or set this machine's clock",
            Untrusted::NotYetValid => "wait, or set this machine's clock",
            Untrusted::WrongPurpose => {
                "the certificate must be one for servers (extended key usage serverAuth)"
            }
            Untrusted::BadSignature | Untrusted::Revoked | Untrusted::Other(_) => {
                "show the chain with: openssl s_client -showcerts -connect HOST:PORT"
            }
        }
    }
}

/// A TLS configuration that trusts these certificates, or, with `verify` off, anyone. `identity` is shown to whoever
/// asks for it.
pub(super) fn client_config(trust: &Trust, verify: bool, identity: Option<&Identity>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new(trust, verify, &provider);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match identity {
        Some(Identity(certified)) => {
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))))
        }
        None => config.with_no_client_auth(),
    }
}

/// Our verifier's reason, if that is what this error is about.
pub(super) fn reason(error: &Error) -> Option<Untrusted> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            other.downcast_ref::<Untrusted>().cloned()
        }
        _ => None,
    }
}

/// Judges a chain as a connection would.
#[cfg(feature = "fuzzing")]
pub(crate) fn judge(
    trust: &Trust,
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Untrusted> {
    let (leaf, others) = chain.split_first().ok_or(Untrusted::NoLocalIssuer)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Verifier::new(trust, true, &provider).judge(leaf, others, name, now)
}

struct Verifier {
    trust: Trust,
    anchors: OnceLock<Anchors>,
    verify: bool,
    provider: Arc<CryptoProvider>,
}

/// The trusted certificates, ready for use.
struct Anchors {
    roots: RootCertStore,
    /// The same as they are, for chains of one.
    trusted: HashSet<Vec<u8>>,
}

impl Anchors {
    fn new(trust: &Trust) -> Self {
        let certificates = trust.certificates();
        let trusted = certificates.iter().map(|der| der.to_vec()).collect();
        let mut roots = RootCertStore::empty();
        // A certificate that webpki cannot use as a root may still be trusted as it stands.
        roots.add_parsable_certificates(certificates);
        Self { roots, trusted }
    }

    /// Whether a trusted certificate has this subject (a DER name).
    fn has(&self, subject: &[u8]) -> bool {
        let is_of = |der: &Vec<u8>| {
            X509Certificate::from_der(der).is_ok_and(|(_, root)| root.subject().as_raw() == subject)
        };
        self.trusted.iter().any(is_of)
    }
}

impl Verifier {
    fn new(trust: &Trust, verify: bool, provider: &Arc<CryptoProvider>) -> Self {
        Self { trust: trust.clone(), anchors: OnceLock::new(), verify, provider: Arc::clone(provider) }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Untrusted> {
        let parsed =
            ParsedCertificate::try_from(leaf).map_err(|error| Untrusted::Other(error.to_string()))?;
        let anchors = self.anchors.get_or_init(|| Anchors::new(&self.trust));
        if anchors.trusted.contains(leaf.as_ref()) {
            check_dates(leaf, now)?;
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &anchors.roots, others, now, algorithms)
                .map_err(|error| diagnose(&error, leaf, others, anchors))?;
        }
        verify_server_name(&parsed, name).map_err(|_| Untrusted::HostMismatch)
    }
}

fn diagnose(
    error: &Error,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    anchors: &Anchors,
) -> Untrusted {
    let Error::InvalidCertificate(error) = error else { return Untrusted::Other(error.to_string()) };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Untrusted::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Untrusted::NotYetValid,
        CertificateError::Revoked => Untrusted::Revoked,
        // Not the trusted certificate of that name, but another one.
        CertificateError::BadSignature if is_self_signed(leaf) => Untrusted::SelfSigned,
        CertificateError::BadSignature => Untrusted::BadSignature,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Untrusted::WrongPurpose
        }
        CertificateError::UnknownIssuer => where_the_chain_ends(leaf, others, anchors),
        // webpki has no name for a CA certificate used by a server; self-signed ones are the usual case.
        _ if is_self_signed(leaf) => Untrusted::SelfSigned,
        other => Untrusted::Other(format!("{other:?}")),
    }
}

/// Follows the issuers through the chain that was shown, as OpenSSL does.
fn where_the_chain_ends(
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    anchors: &Anchors,
) -> Untrusted {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
        return Untrusted::Other("not an X.509 certificate".to_owned());
    };
    let mut unused: Vec<_> = others
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed))
        .collect();
    let mut last = leaf;
    let mut length = 1;
    while last.subject().as_raw() != last.issuer().as_raw() {
        let Some(next) = unused.iter().position(|other| other.subject().as_raw() == last.issuer().as_raw())
        else {
            break;
        };
        last = unused.swap_remove(next);
        length += 1;
    }
    let self_signed = last.subject().as_raw() == last.issuer().as_raw();
    match (self_signed, length) {
        (true, 1) => Untrusted::SelfSigned,
        (true, _) => Untrusted::SelfSignedInChain,
        // The issuer's name is trusted, yet no path was found: the certificate is of another key.
        (false, _) if anchors.has(last.issuer().as_raw()) => Untrusted::BadSignature,
        (false, 1) => Untrusted::NoFirstIssuer,
        (false, _) => Untrusted::NoLocalIssuer,
    }
}

fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, cert)| cert.subject().as_raw() == cert.issuer().as_raw())
}

fn check_dates(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Untrusted> {
    let (_, cert) = X509Certificate::from_der(der).map_err(|error| Untrusted::Other(error.to_string()))?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < cert.validity().not_before.timestamp() {
        return Err(Untrusted::NotYetValid);
    }
    if now > cert.validity().not_after.timestamp() {
        return Err(Untrusted::Expired);
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verify {
            self.judge(leaf, others, name, now).map_err(|untrusted| {
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(untrusted))))
            })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Debug for Verifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("trust", &self.trust).field("verify", &self.verify).finish()
    }
}

#[cfg(test)]
mod tests;
