//! TLS of the node's own listeners: the Admin API's and the status listener's.
//!
//! Owns: which certificate they show; a self-signed one is made where the settings name none. Must not know: traffic, whose
//! certificates are entities.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_proxy::self_signed;
use postern_secrets::{Secret, io_reason};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::report::Failure;

/// What a listener shows, and whom it lets in. `setting` is `admin_ssl` or `status_ssl`: errors name its settings.
///
/// # Errors
/// A file cannot be read or used.
pub(crate) fn server(
    setting: &str,
    files: Option<&(PathBuf, PathBuf)>,
    client_ca: Option<&Path>,
) -> Result<ServerConfig, Failure> {
    let wrong = |key: &str, reason: &dyn std::fmt::Display| {
        Failure::new(format!("{setting}_{key}: {reason}"), "it names a file with PEM in it")
    };
    let (certificates, key) = match files {
        Some((cert, key)) => {
            let certificates = chain(cert).map_err(|reason| wrong("cert", &reason))?;
            let pem = std::fs::read(key).map_err(|error| wrong("cert_key", &io_reason(&error)))?;
            let pem = Secret::from(String::from_utf8_lossy(&pem).as_ref());
            let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
                .map_err(|_| wrong("cert_key", &"there is no private key in it"))?;
            (certificates, key)
        }
        None => {
            let (certificate, key) = self_signed().map_err(|reason| wrong("cert", &reason))?;
            (vec![certificate], key)
        }
    };
    let builder = ServerConfig::builder();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(chain(ca).map_err(|reason| wrong("client_ca", &reason))?);
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .build()
                .map_err(|error| wrong("client_ca", &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(certificates, key).map_err(|error| wrong("cert_key", &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(file).map_err(|error| io_reason(&error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| "there is no certificate in it".to_owned())
}
