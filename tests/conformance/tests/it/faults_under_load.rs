//! As much traffic as there can be, while all that may change changes and all that may die dies: no request fails that
//! did not have to, and memory stays flat.
//!
//! Every second the configuration is reloaded, a certificate and a header's secret rotate in a real OpenBao, and one of
//! two upstreams dies and returns. For the second half the vault is dead. `LOAD_SECONDS=30` makes it longer than it is in
//! a plain run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use postern_conformance::ca::Ca;
use postern_conformance::{Gateway, OpenBao, Postern};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How many send one request after the other.
const CLIENTS: usize = 8;
const NAME: &str = "gateway.test";

/// What the clients saw together.
#[derive(Default)]
struct Seen {
    good: AtomicU64,
    handshakes: AtomicU64,
    /// The highest version of the secret.
    version: AtomicU64,
    stop: AtomicBool,
    failures: std::sync::Mutex<Vec<String>>,
}

impl Seen {
    fn failed(&self, what: impl Into<String>) {
        self.failures.lock().expect("no panics").push(what.into());
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_that_did_not_have_to() {
    #[expect(clippy::disallowed_methods, reason = "the test's own setting, not the program's")]
    let seconds: u64 = std::env::var("LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let ca = Ca::new("load");
    let mut bao = OpenBao::dev().await;
    write(&bao, &ca, 1).await;
    let mut upstreams = [Upstream::start(None).await, Upstream::start(None).await];
    let yaml = |round: u64| configuration(&bao, [upstreams[0].address, upstreams[1].address], round);
    let documents: Vec<String> = (0..=seconds).map(yaml).collect();
    let mut gateway = Postern::gateway(&documents[0], &[("proxy_access_log", "off")]).await;
    let seen = Arc::new(Seen::default());
    let mut clients = clients(&gateway, &ca, &seen);

    let mut memory = Vec::new();
    for round in 1..=seconds {
        let began = Instant::now();
        if round == seconds / 2 + 1 {
            bao.kill().await;
        }
        if round <= seconds / 2 {
            write(&bao, &ca, round + 1).await;
        }
        let dying = (round % 2) as usize;
        upstreams[dying].die().await;
        assert!(
            gateway.reload(&documents[round as usize]).await,
            "a good configuration is refused:\n{}",
            gateway.log()
        );
        sleep(Duration::from_millis(300)).await;
        upstreams[dying] = Upstream::start(Some(upstreams[dying].address)).await;
        sleep(Duration::from_secs(1).saturating_sub(began.elapsed())).await;
        memory.push(gateway.memory());
    }
    seen.stop.store(true, Ordering::Relaxed);
    while timeout(Duration::from_secs(20), clients.join_next()).await.expect("clients end").is_some() {}

    let failures = seen.failures.lock().expect("no panics");
    let (good, handshakes) = (seen.good.load(Ordering::Relaxed), seen.handshakes.load(Ordering::Relaxed));
    println!(
        "{good} requests and {handshakes} handshakes in {seconds} s, {} failed; last version {}; memory {memory:?} KiB",
        failures.len(),
        seen.version.load(Ordering::Relaxed)
    );
    assert!(
        failures.is_empty(),
        "{} of {good} failed: {:#?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    assert!(good > 100 && handshakes > 5, "there was no load");
    assert!(seen.version.load(Ordering::Relaxed) > 1, "no rotation was seen");
    let (early, late) = (memory[memory.len() / 3], memory[memory.len() - 1]);
    assert!(late < early + early / 4 + 8192, "memory grew from {early} to {late} KiB");
}

/// Puts a version of everything into the vault.
async fn write(bao: &OpenBao, ca: &Ca, version: u64) {
    let issued = ca.issue(&[NAME]);
    let data = json!({"data": {"header": format!("v{version}"), "cert": issued.chain, "key": issued.key}});
    let (status, reply) = bao.request("POST", "secret/data/load", Some(&data)).await;
    assert_eq!(status, 200, "{reply}");
}

fn configuration(bao: &OpenBao, upstreams: [SocketAddr; 2], round: u64) -> String {
    let targets: Vec<_> = upstreams.iter().map(|address| json!({"target": address.to_string()})).collect();
    json!({
        "_format_version": "3.0",
        "vaults": [{"name": "hcv", "prefix": "bao", "config": {
            "protocol": bao.protocol(), "host": "127.0.0.1", "port": bao.port(), "mount": "secret", "kv": "v2",
            "auth_method": "token", "token": bao.root_token(), "ttl": 1, "resurrect_ttl": 3600,
        }}],
        "upstreams": [{"name": "two", "targets": targets}],
        "services": [{"name": "s", "host": "two", "routes": [
            {"name": "load", "paths": ["/load"], "plugins": [{"name": "request-transformer", "config": {
                "add": {"headers": ["x-secret:{vault://bao/load/header}"]}}}]},
            {"name": format!("other-{round}"), "paths": [format!("/other-{round}")]},
        ]}],
        "certificates": [{
            "id": "6d23d4b3-6f66-4ab5-9d04-1f4cbb1ed3c0",
            "cert": "{vault://bao/load/cert}", "key": "{vault://bao/load/key}", "snis": [{"name": NAME}],
        }],
    })
    .to_string()
}

fn clients(gateway: &Gateway, ca: &Ca, seen: &Arc<Seen>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(keep_asking(gateway.http, Arc::clone(seen)));
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.root_pem().as_bytes()).expect("a root")).expect("a root");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    clients.spawn(keep_shaking_hands(gateway.https, TlsConnector::from(Arc::new(config)), Arc::clone(seen)));
    clients
}

/// One connection, one request after the other.
async fn keep_asking(address: SocketAddr, seen: Arc<Seen>) {
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    while seen.goes_on() {
        match ask(&mut connection).await {
            Ok((200, body)) => {
                seen.good.fetch_add(1, Ordering::Relaxed);
                match body.strip_prefix('v').and_then(|version| version.parse().ok()) {
                    Some(version) => drop(seen.version.fetch_max(version, Ordering::Relaxed)),
                    None => seen.failed(format!("the upstream got {body:?} for a secret")),
                }
            }
            Ok((status, body)) => seen.failed(format!("{status}: {body}")),
            Err(error) => {
                seen.failed(format!("the connection broke: {error}"));
                connection = TcpStream::connect(address).await.expect("a connection");
            }
        }
    }
}

/// A new connection each time, by the certificate of that moment.
async fn keep_shaking_hands(address: SocketAddr, connector: TlsConnector, seen: Arc<Seen>) {
    while seen.goes_on() {
        let name = ServerName::try_from(NAME).expect("a name");
        let stream = TcpStream::connect(address).await.expect("a connection");
        match connector.connect(name, stream).await {
            Ok(mut stream) => match ask(&mut stream).await {
                Ok((200, _)) => drop(seen.handshakes.fetch_add(1, Ordering::Relaxed)),
                other => seen.failed(format!("over TLS: {other:?}")),
            },
            Err(error) => seen.failed(format!("a handshake failed: {error}")),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Status and body of a request to the route.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<(u16, String)> {
    stream.write_all(b"GET /load HTTP/1.1\r\nhost: gateway.test\r\n\r\n").await?;
    let head = head(stream).await?;
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Answers with the secret that it got.
struct Upstream {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Upstream {
    async fn start(address: Option<SocketAddr>) -> Self {
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream));
            }
        });
        Self { address, task }
    }

    /// Ends, with all its connections, whatever they are doing.
    async fn die(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

async fn answer(mut stream: TcpStream) {
    while let Ok(head) = head(&mut stream).await {
        let secret = head.lines().find_map(|line| line.strip_prefix("x-secret: ")).unwrap_or("none");
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{secret}", secret.len());
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}
