//! Certificates: from PEM texts to what rustls shows and checks.
//!
//! Owns: that a certificate and its key belong together, which certificate a server name gets, and whom an upstream's
//! certificate must be signed by. Must not know: where the texts come from. PEM stays in [`Text`]s; keys go straight into
//! the TLS library and never to disk.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use postern_model::Text;
use postern_model::entity::Certificate;
use postern_plugins::view::TlsInfo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::live::{Cell, Live};

/// One certificate entity: a chain with its key, perhaps a second one with another kind of key.
#[derive(Debug)]
pub(crate) struct Pair {
    first: Arc<CertifiedKey>,
    second: Option<Arc<CertifiedKey>>,
}

impl Pair {
    /// From a checked entity.
    ///
    /// # Errors
    /// What is wrong with it; never what it says.
    pub(crate) fn new(certificate: &Certificate) -> Result<Self, String> {
        let first =
            certified(&certificate.cert, &certificate.key).map_err(|reason| format!("cert: {reason}"))?;
        let second = match (&certificate.cert_alt, &certificate.key_alt) {
            (Some(cert), Some(key)) => {
                Some(certified(cert, key).map_err(|reason| format!("cert_alt: {reason}"))?)
            }
            _ => None,
        };
        Ok(Self { first, second })
    }

    /// The one whose key the client can check.
    fn choose(&self, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let fits = |key: &Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        match &self.second {
            Some(second) if !fits(&self.first) && fits(second) => Arc::clone(second),
            // Of two that fit, the smaller kind of key is cheaper for both sides.
            Some(second) if fits(second) && second.key.algorithm() == rustls::SignatureAlgorithm::ECDSA => {
                Arc::clone(second)
            }
            _ => Arc::clone(&self.first),
        }
    }
}

fn certified(cert: &Text, key: &Text) -> Result<Arc<CertifiedKey>, String> {
    let (chain, key) = chain_and_key(cert, key)?;
    let key = provider::sign::any_supported_type(&key)
        .map_err(|_| "a kind of key that is not supported (RSA needs 2048 bits or more)".to_owned())?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(rustls::Error::InvalidCertificate(_)) if has_the_key(&certified) => Ok(Arc::new(certified)),
        Err(_) => Err("certificate does not match key".to_owned()),
    }
}

/// Whether the public half of the key is in the certificate, as it is in every form of one: rustls reads version 3 only, and
/// shows any.
fn has_the_key(certified: &CertifiedKey) -> bool {
    let (Some(leaf), Some(public)) = (certified.cert.first(), certified.key.public_key()) else {
        return false;
    };
    leaf.windows(public.len()).any(|part| part == public.as_ref())
}

fn chain_and_key(
    cert: &Text,
    key: &Text,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = chain(cert)?;
    let key =
        PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "there is no private key in PEM form")?;
    Ok((chain, key))
}

fn chain(cert: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
    let chain = chain.map_err(|_| "not a certificate in PEM form")?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM form".to_owned());
    }
    Ok(chain)
}

/// Which certificate a server name gets.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// Names in lower case; `*.name`, `name.*` and `*` as written.
    by_name: HashMap<String, Cell<Pair>>,
}

impl Certificates {
    pub(crate) fn new(by_name: HashMap<String, Cell<Pair>>) -> Self {
        Self { by_name }
    }

    /// As in Kong: the name itself, then with its first label open, then with its last label open, then any.
    pub(crate) fn find(&self, name: &str) -> Option<&Cell<Pair>> {
        if self.by_name.is_empty() {
            return None;
        }
        let open = |text: String| self.by_name.get(&text);
        self.by_name
            .get(name)
            .or_else(|| name.split_once('.').and_then(|(_, rest)| open(format!("*.{rest}"))))
            .or_else(|| name.rsplit_once('.').and_then(|(rest, _)| open(format!("{rest}.*"))))
            .or_else(|| self.by_name.get("*"))
    }
}

/// Chooses at each handshake among the certificates of the configuration of that moment.
struct BySni {
    live: Arc<ArcSwap<Live>>,
    default: Arc<CertifiedKey>,
}

impl std::fmt::Debug for BySni {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BySni")
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let live = self.live.load();
        let name = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let found = match &name {
            Some(name) => live.certificates.find(name),
            None => live.certificates.find("*"),
        };
        match found {
            None => Some(Arc::clone(&self.default)),
            // A certificate that cannot be resolved refuses this name only; another one would be the wrong one.
            Some(cell) => match cell.load() {
                Some(pair) => Some(pair.choose(hello.signature_schemes())),
                None => {
                    tracing::error!(
                        sni = name,
                        "the certificate of this name has no usable value: handshake refused"
                    );
                    None
                }
            },
        }
    }
}

/// What listeners with TLS work with.
///
/// # Errors
/// What is wrong with the default certificate.
pub(crate) fn server(
    live: Arc<ArcSwap<Live>>,
    default: Option<&(PathBuf, PathBuf)>,
) -> Result<Arc<ServerConfig>, String> {
    let default = match default {
        Some((cert, key)) => {
            let read = |path: &PathBuf| {
                std::fs::read_to_string(path)
                    .map(|text| Text::from(postern_secrets::Secret::from(text)))
                    .map_err(|error| format!("{}: {}", path.display(), postern_secrets::io_reason(&error)))
            };
            certified(&read(cert)?, &read(key)?).map_err(|reason| format!("{}: {reason}", cert.display()))?
        }
        None => made()?,
    };
    let mut provider = provider::default_provider();
    // As Mozilla's recommendation has it. SHA-256 has instructions of its own on most processors, SHA-384 has not, and a
    // handshake hashes a lot.
    provider
        .cipher_suites
        .sort_by_key(|suite| !matches!(suite.suite(), CipherSuite::TLS13_AES_128_GCM_SHA256));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni { live, default }));
    config.ticketer = provider::Ticketer::new().map_err(|error| error.to_string())?;
    // The clients' order is no better: most put the longest key first, which none needs.
    config.ignore_client_order = true;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// A self-signed certificate for `localhost` and its key, for listeners that have none.
///
/// # Errors
/// It cannot be made.
pub fn self_signed() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), String> {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(str::to_owned)?;
    Ok((made.cert.der().clone(), key))
}

fn made() -> Result<Arc<CertifiedKey>, String> {
    let (certificate, key) = self_signed()?;
    let key = provider::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate], key)))
}

/// How an upstream is checked, and what is shown to it.
#[derive(Debug, Default)]
pub(crate) struct ClientTls<'a> {
    /// Whether its certificate is checked.
    pub(crate) verify: bool,
    /// The length of the chain between the leaf and the root; `None`: any.
    pub(crate) depth: Option<u8>,
    /// Whom it must be signed by; none: whom the system trusts.
    pub(crate) authorities: Vec<&'a Text>,
    /// What is shown.
    pub(crate) certificate: Option<&'a Certificate>,
    /// Whether HTTP/2 is to be spoken.
    pub(crate) http2: bool,
}

/// Certificates that upstreams may be checked against.
///
/// # Errors
/// What is wrong with them; never what they say.
pub(crate) fn authority(authority: &Text) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = chain(authority)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|_| "a CA certificate cannot be used".to_owned())?;
    }
    Ok(certificates)
}

/// The configuration for connections to an upstream.
///
/// # Errors
/// What is wrong with the certificates; never what they say.
pub(crate) fn client(tls: &ClientTls<'_>, system: &RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if tls.verify {
        let mut roots = RootCertStore::empty();
        for authority in &tls.authorities {
            for certificate in self::authority(authority)? {
                roots.add(certificate).map_err(|_| "a CA certificate cannot be used".to_owned())?;
            }
        }
        let roots = if tls.authorities.is_empty() { system.clone() } else { roots };
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let verifier = Depth { verifier, most: tls.depth };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    };
    let mut config = match tls.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = chain_and_key(&certificate.cert, &certificate.key)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| "the client certificate cannot be used".to_owned())?
        }
    };
    config.alpn_protocols = vec![if tls.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(config)
}

/// Checks the length of the chain that is shown, then all else.
#[derive(Debug)]
struct Depth {
    verifier: Arc<rustls::client::WebPkiServerVerifier>,
    most: Option<u8>,
}

impl ServerCertVerifier for Depth {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.most.is_some_and(|most| between.len() > usize::from(most)) {
            return Err(rustls::Error::General("22: certificate chain too long".to_owned()));
        }
        self.verifier.verify_server_cert(leaf, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Takes any certificate, as long as its owner has the key: Kong's default for upstreams.
#[derive(Debug)]
pub(crate) struct Anyone(pub(crate) Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What was agreed on with a client, in OpenSSL's names, which logs and dashboards know.
pub(crate) fn spoken(session: &rustls::ServerConnection) -> TlsInfo {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    use CipherSuite as Suite;
    let cipher = match session.negotiated_cipher_suite().map(|suite| suite.suite()) {
        Some(Suite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(Suite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(Suite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) => "ECDHE-RSA-AES128-GCM-SHA256",
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) => "ECDHE-RSA-AES256-GCM-SHA384",
        Some(Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "unknown",
    };
    TlsInfo { version, cipher }
}

#[cfg(test)]
mod tests;
