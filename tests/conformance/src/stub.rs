//! A server of a test's own: it answers what it is told to, however wrong, and keeps what it was sent.
//!
//! HTTP/1.1, one request a connection, over TLS with [`Stub::tls`]. It stands in for a vault or an identity
//! provider that lies; the honest ones are the other servers of this crate.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::ca::Issued;

/// What a stub does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, and then `x` until the client has had enough.
    Endless(Vec<u8>),
    /// The first bytes at once, then one of the others each second.
    Drip(Vec<u8>, Vec<u8>),
    /// Nothing, with the connection left open.
    Silence,
}

impl Answer {
    /// A well-formed HTTP answer.
    pub fn http(status: u16, content_type: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(
            format!(
                "HTTP/1.1 {status} Whatever\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }

    /// A well-formed HTTP answer with JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::http(status, "application/json", &body.to_string())
    }
}

/// A running stub. It ends when it is dropped.
pub struct Stub {
    scheme: &'static str,
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Stub {
    /// Starts one that speaks plain HTTP. `answer` is asked with the whole request, head and body.
    pub async fn http(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(answer)).await
    }

    /// Starts one that speaks TLS and shows this chain.
    ///
    /// # Panics
    /// When rustls cannot use certificate or key.
    pub async fn tls(shown: &Issued, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let chain = CertificateDer::pem_slice_iter(shown.chain.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates as PEM");
        let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("a key as PEM");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a usable certificate")));
        Self::start(Some(acceptor), Arc::new(answer)).await
    }

    /// `http://127.0.0.1:PORT`, or `https://`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The port, of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far, head and body.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn start(tls: Option<TlsAcceptor>, answer: Arc<dyn Fn(&str) -> Answer + Send + Sync>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let record = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            // Connections end with the listener: they are tasks of this set.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, record, tls) = (Arc::clone(&answer), Arc::clone(&record), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, answer, record).await,
                        // A client that does not trust the certificate leaves here.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, answer, record).await;
                            }
                        }
                    }
                });
            }
        });
        Self { scheme, address, heard, task }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Arc<dyn Fn(&str) -> Answer + Send + Sync>,
    record: Arc<Mutex<Vec<String>>>,
) {
    let Some(request) = read_request(&mut stream).await else { return };
    record.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    // The client may leave at any point of an answer that is too much for it.
    match answer(&request) {
        Answer::Bytes(bytes) => {
            stream.write_all(&bytes).await.ok();
        }
        Answer::Endless(bytes) => {
            let more = vec![b'x'; 64 * 1024];
            let mut sent = stream.write_all(&bytes).await;
            while sent.is_ok() {
                sent = stream.write_all(&more).await;
            }
        }
        Answer::Drip(bytes, more) => {
            stream.write_all(&bytes).await.ok();
            for byte in more {
                if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
        Answer::Silence => std::future::pending().await,
    }
    stream.shutdown().await.ok();
}

/// Head and body as text; `None` when the client left before the end.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= content_length(head)
        {
            return Some(text.into_owned());
        }
    }
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}
