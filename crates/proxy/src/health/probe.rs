//! One active check: a connection, and what is asked on it.
//!
//! Owns: what each type of check sends, TLS included, and what comes of it. Must not know: when to check and what
//! follows ([`crate::balance`] does both). `grpc` and `grpcs` ask for a connection only, as no health service can be
//! expected; Kong has the two types in its schema and not in its checks. A client certificate is not shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use postern_model::entity::Upstream;
use postern_model::entity::upstream::CheckKind;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Outcome;
use crate::tls::Anyone;

/// A head that is longer is not HTTP to us.
const HEAD: usize = 64 * 1024;

/// How an upstream's targets are checked.
pub(crate) struct Probe {
    kind: CheckKind,
    timeout: Duration,
    path: Uri,
    headers: HeaderMap,
    host_header: Option<Box<str>>,
    sni: Option<Box<str>>,
    tls: Option<TlsConnector>,
}

impl Probe {
    /// As the upstream says. What cannot be a header or a path is left out; checking a configuration refuses it.
    pub(crate) fn new(upstream: &Upstream, roots: &Arc<RootCertStore>) -> Self {
        let active = &upstream.healthchecks.active;
        let mut headers = HeaderMap::new();
        for (name, values) in active.headers.iter().flatten() {
            for value in values {
                let name = name.parse::<HeaderName>();
                let value = HeaderValue::from_str(value.as_str());
                if let (Ok(name), Ok(mut value)) = (name, value) {
                    value.set_sensitive(true);
                    let _ = headers.try_append(name, value);
                }
            }
        }
        let tls = matches!(active.kind, CheckKind::Https | CheckKind::Grpcs)
            .then(|| connector(active.https_verify_certificate, roots))
            .flatten();
        Self {
            kind: active.kind,
            timeout: seconds(active.timeout),
            path: active.http_path.parse().unwrap_or_else(|_| Uri::from_static("/")),
            headers,
            host_header: upstream.host_header.as_ref().map(|host| host.as_str().into()),
            sni: active.https_sni.as_ref().map(|sni| sni.as_str().into()),
            tls,
        }
    }

    /// Checks one address; never takes longer than the configured time. `name`: what the target is called.
    pub(crate) async fn check(&self, address: SocketAddr, name: &str) -> Outcome {
        let host = self.host_header.as_deref().unwrap_or(name);
        timeout(self.timeout, self.run(address, host))
            .await
            .unwrap_or(Err(Outcome::Timeout))
            .unwrap_or_else(|failure| failure)
    }

    async fn run(&self, address: SocketAddr, host: &str) -> Result<Outcome, Outcome> {
        let stream = TcpStream::connect(address).await.map_err(|_| Outcome::TcpFailure)?;
        match self.kind {
            CheckKind::Tcp | CheckKind::Grpc => Ok(Outcome::Connected),
            CheckKind::Http => self.get(stream, host).await,
            CheckKind::Https => self.get(self.secured(stream, host).await?, host).await,
            CheckKind::Grpcs => self.secured(stream, host).await.map(|_| Outcome::Connected),
        }
    }

    async fn secured(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, Outcome> {
        // As Kong, a handshake that fails is a TCP failure.
        let connector = self.tls.as_ref().ok_or(Outcome::TcpFailure)?;
        let name = self.sni.as_deref().unwrap_or(host);
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| Outcome::TcpFailure)?;
        connector.connect(name, stream).await.map_err(|_| Outcome::TcpFailure)
    }

    async fn get(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
    ) -> Result<Outcome, Outcome> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| Outcome::TcpFailure)?);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let own = self.headers.iter().filter(|(name, _)| **name != CONNECTION);
        for name in self.headers.keys() {
            headers.remove(name);
        }
        headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failure)?;
        let status = async move { sender.send_request(request).await.map(|reply| reply.status()) };
        // The connection may end in the same step in which it gives the reply, which then still counts.
        let driven = async {
            let _ = connection.await;
            std::future::pending::<StatusCode>().await
        };
        tokio::select! {
            status = status => status.map(|status| Outcome::Status(status.as_u16())).map_err(failure),
            status = driven => Ok(Outcome::Status(status.as_u16())),
        }
    }
}

fn failure(error: hyper::Error) -> Outcome {
    if error.is_parse() { Outcome::Malformed } else { Outcome::TcpFailure }
}

/// Kong's numbers of seconds; what is no time at all means the longest.
pub(crate) fn seconds(seconds: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(65_535);
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)
}

fn connector(verify: bool, roots: &Arc<RootCertStore>) -> Option<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().ok()?;
    let config = if verify {
        builder.with_root_certificates(roots.clone()).with_no_client_auth()
    } else {
        let anyone = Arc::new(Anyone(provider));
        builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
    };
    Some(TlsConnector::from(Arc::new(config)))
}
