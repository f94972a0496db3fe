//! A client of the gateway: HTTP/1.1 and HTTP/2, in clear and in TLS, from an address of choice, one connection as long
//! as the test wants.
//!
//! Not the product's client, and on hyper's lowest layer: what a test says is what is sent, and no pool is between.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// For anything that a slow machine may take long for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What requests of tests carry.
pub type Body = BoxBody<Bytes, std::convert::Infallible>;

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct Way {
    /// Where to.
    pub address: SocketAddr,
    /// The address it comes from; any of 127.0.0.0/8 is ours on Linux.
    pub from: Option<Ipv4Addr>,
    /// TLS, with this name; an empty one sends none.
    pub tls: Option<String>,
    /// HTTP/2: by ALPN in TLS, from the first byte without.
    pub http2: bool,
    /// The only kind of certificate that is taken: `SignatureScheme::ED25519`. All, when it is empty.
    pub schemes: Vec<SignatureScheme>,
}

/// An open connection.
pub struct Connection {
    sender: Sender,
    /// The server's certificates, its own first, as DER.
    pub certificates: Vec<Vec<u8>>,
    /// What ALPN agreed on.
    pub alpn: Option<String>,
}

enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Got {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What followed the body.
    pub trailers: HeaderMap,
}

impl Way {
    /// In clear, HTTP/1.1.
    pub fn http(address: SocketAddr) -> Self {
        Self { address, from: None, tls: None, http2: false, schemes: Vec::new() }
    }

    /// In clear, HTTP/2.
    pub fn h2c(address: SocketAddr) -> Self {
        Self { http2: true, ..Self::http(address) }
    }

    /// In TLS, HTTP/1.1.
    pub fn https(address: SocketAddr, name: &str) -> Self {
        Self { tls: Some(name.to_owned()), ..Self::http(address) }
    }

    /// In TLS, HTTP/2.
    pub fn https2(address: SocketAddr, name: &str) -> Self {
        Self { http2: true, ..Self::https(address, name) }
    }

    /// A TCP connection.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn tcp(&self) -> Result<TcpStream, String> {
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).map_err(|error| error.to_string())?;
        }
        let stream = timeout(PATIENCE, socket.connect(self.address)).await;
        stream.map_err(|_| "no connection in time".to_owned())?.map_err(|error| error.to_string())
    }

    /// A TLS connection; HTTP/1.1 or HTTP/2 are offered, as [`Way::http2`] says.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn secure(&self) -> Result<TlsStream<TcpStream>, String> {
        let name = self.tls.as_deref().unwrap_or_default();
        let verifier = Arc::new(Anyone { schemes: self.schemes.clone() });
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![if self.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        config.enable_sni = !name.is_empty();
        let server = if name.is_empty() { "localhost" } else { name };
        let server = ServerName::try_from(server.to_owned()).map_err(|error| error.to_string())?;
        let stream = self.tcp().await?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(server, stream);
        let stream = timeout(PATIENCE, handshake).await;
        stream.map_err(|_| "no handshake in time".to_owned())?.map_err(|error| error.to_string())
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// There is none to be had, or its handshake failed.
    pub async fn open(&self) -> Result<Connection, String> {
        if self.tls.is_none() {
            let sender = self.begin(self.tcp().await?).await?;
            return Ok(Connection { sender, certificates: Vec::new(), alpn: None });
        }
        let stream = self.secure().await?;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let certificates = chain.iter().map(|certificate| certificate.to_vec()).collect();
        let alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        Ok(Connection { sender: self.begin(stream).await?, certificates, alpn })
    }

    async fn begin(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Sender, String> {
        let io = TokioIo::new(stream);
        if self.http2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            return Ok(Sender::Two(sender));
        }
        let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection.with_upgrades());
        Ok(Sender::One(sender))
    }

    /// One request on a connection of its own. `host` is the `Host`, or HTTP/2's authority.
    ///
    /// # Errors
    /// No answer, or not all of it.
    pub async fn ask(&self, request: Request<Body>) -> Result<Got, String> {
        self.open().await?.ask(request).await
    }
}

impl Connection {
    /// Sends a request whose target is a path and whose host is in its `Host` header.
    ///
    /// # Errors
    /// No head of an answer.
    pub async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>, String> {
        let response = match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await.map_err(|error| format!("{error:?}"))?;
                timeout(PATIENCE, sender.send_request(request)).await
            }
            Sender::Two(sender) => {
                // HTTP/2 names the host in the target.
                let host = request.headers_mut().remove(http::header::HOST);
                let host = host.and_then(|host| host.to_str().ok().map(str::to_owned)).unwrap_or_default();
                let target = format!("http://{host}{}", request.uri());
                *request.uri_mut() = target.parse().map_err(|error| format!("{target}: {error}"))?;
                sender.ready().await.map_err(|error| format!("{error:?}"))?;
                timeout(PATIENCE, sender.send_request(request)).await
            }
        };
        response.map_err(|_| "no answer in time".to_owned())?.map_err(|error| format!("{error:?}"))
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Errors
    /// No answer, or not all of it.
    pub async fn ask(&mut self, request: Request<Body>) -> Result<Got, String> {
        Got::read(self.send(request).await?).await
    }
}

impl Got {
    /// Reads an answer to its end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read(response: Response<Incoming>) -> Result<Self, String> {
        let (parts, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect()).await.map_err(|_| "no end in time".to_owned())?;
        let body = body.map_err(|error| format!("{error:?}"))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Self { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), trailers })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` without one.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn json(&self) -> serde_json::Value {
        if self.body.is_empty() {
            return serde_json::Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// A header's only or first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// `GET` of a path, for a host.
///
/// # Panics
/// When one of them cannot be sent.
pub fn get(host: &str, target: &str) -> Request<Body> {
    request("GET", host, target, &[], "")
}

/// A request.
///
/// # Panics
/// When it cannot be sent.
pub fn request(
    method: &str,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(target).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(body.into()).boxed();
    request.body(body).unwrap_or_else(|error| panic!("{method} {host}{target}: {error}"))
}

/// Waits until something is so.
///
/// # Panics
/// When patience ends.
pub async fn becomes(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !check().await {
        assert!(begun.elapsed() < PATIENCE, "never so: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Takes any certificate: the test looks at it itself.
#[derive(Debug)]
struct Anyone {
    schemes: Vec<SignatureScheme>,
}

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        if !self.schemes.is_empty() {
            return self.schemes.clone();
        }
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
