//! One small HTTP client: GET a JSON document, bounded in size and time.
//!
//! The vault fetches the identity provider's keys with it. It must not know what the documents mean, and sends
//! no credentials.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;

const TIME_LIMIT: Duration = Duration::from_secs(10);
const SIZE_LIMIT: usize = 1024 * 1024;

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("not a URL")]
    Url,
    #[error("no trusted certificates: {0}")]
    Trust(String),
    #[error("{0}")]
    Transport(String),
    #[error("no answer within {} s", TIME_LIMIT.as_secs())]
    TimedOut,
    #[error("{0}: {1}")]
    Status(http::StatusCode, String),
    #[error("the answer is larger than {SIZE_LIMIT} bytes, or broke off")]
    Body,
    #[error("the answer is not JSON")]
    NotJson,
}

/// Fetches `url`. `ca_pem`, when not empty, replaces the operating system's trusted certificates.
pub(crate) async fn json(url: &str, ca_pem: &str) -> Result<serde_json::Value, FetchError> {
    let uri: http::Uri = url.parse().map_err(|_| FetchError::Url)?;
    if uri.host().is_none() {
        return Err(FetchError::Url);
    }
    let client = client(uri.scheme_str() == Some("https"), ca_pem)?;
    let exchange = async {
        let reply = client.get(uri).await.map_err(|error| FetchError::Transport(chain(&error)))?;
        let status = reply.status();
        let body = Limited::new(reply.into_body(), SIZE_LIMIT).collect().await;
        let body = body.map_err(|_| FetchError::Body)?.to_bytes();
        if !status.is_success() {
            let start = String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_owned();
            return Err(FetchError::Status(status, start));
        }
        Ok(body)
    };
    let body = tokio::time::timeout(TIME_LIMIT, exchange).await.map_err(|_| FetchError::TimedOut)??;
    serde_json::from_slice(&body).map_err(|_| FetchError::NotJson)
}

type Transport = HttpsConnector<HttpConnector>;

fn client(tls: bool, ca_pem: &str) -> Result<Client<Transport, Empty<Bytes>>, FetchError> {
    let mut roots = rustls::RootCertStore::empty();
    if tls && ca_pem.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| FetchError::Trust(error.to_string()))?;
        roots.add(certificate).map_err(|error| FetchError::Trust(error.to_string()))?;
    }
    if roots.is_empty() && !ca_pem.is_empty() {
        return Err(FetchError::Trust("no certificate in the PEM text".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Trust(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

/// The error with its causes: hyper's own text says only that something went wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
