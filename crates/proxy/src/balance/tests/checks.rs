//! Active checks, against servers on the loopback.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// A server that gives each connection the reply of the moment; without one it is silent.
struct Server {
    address: SocketAddr,
    reply: Arc<Mutex<Option<&'static [u8]>>>,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const ERROR: &[u8] = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
const ELSE: &[u8] = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n";
const GREETING: &[u8] = b"220 mail.test ESMTP\r\n";

impl Server {
    async fn start(reply: Option<&'static [u8]>) -> Self {
        Self::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), reply).await
    }

    async fn on(address: SocketAddr, reply: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply = Arc::new(Mutex::new(reply));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (current, seen) = (reply.clone(), requests.clone());
        let task = tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let reply = *current.lock().unwrap();
                let Some(reply) = reply else {
                    silent.push(stream);
                    continue;
                };
                let mut buffer = [0; 4096];
                let size = stream.read(&mut buffer).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&buffer[..size]).into_owned());
                let _ = stream.write_all(reply).await;
            }
        });
        Self { address, reply, requests, task }
    }

    fn says(&self, reply: Option<&'static [u8]>) {
        *self.reply.lock().unwrap() = reply;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Checks every 20 ms, with a limit of two for everything, and time enough for a machine that is busy.
fn active(kind: CheckKind) -> Upstream {
    let mut upstream = upstream();
    let active = &mut upstream.healthchecks.active;
    active.kind = kind;
    active.timeout = 10.0;
    active.healthy.interval = 0.02;
    active.healthy.successes = 2;
    active.unhealthy.interval = 0.02;
    active.unhealthy.tcp_failures = 2;
    active.unhealthy.timeouts = 2;
    active.unhealthy.http_failures = 2;
    upstream
}

fn one(upstream: &Upstream, address: SocketAddr) -> Arc<Balancer> {
    let of = targets(&[(&*address.to_string(), 1)]);
    let control = control(&Names::default());
    let balancer = Balancer::upstream(upstream, &of, None, &control);
    balancer.start(&control);
    balancer
}

/// Waits for it; what never comes is a failure of the test. No measure of speed: the limit is far beyond what is due.
async fn until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come");
}

#[tokio::test]
async fn who_answers_badly_or_not_leaves_and_returns() {
    for (kind, bad) in
        [(CheckKind::Http, Some(ERROR)), (CheckKind::Http, Some(GREETING)), (CheckKind::Http, None)]
    {
        let server = Server::start(Some(OK)).await;
        let mut upstream = active(kind);
        if bad.is_none() {
            upstream.healthchecks.active.timeout = 0.2;
        }
        let balancer = one(&upstream, server.address);
        until("the first check", || !server.requests.lock().unwrap().is_empty()).await;
        assert!(balancer.is_up());
        server.says(bad);
        until("the fall", || !balancer.is_up()).await;
        server.says(Some(OK));
        until("the rise", || balancer.is_up()).await;
        assert!(bad.is_none() || balancer.changes() == (1, 1));
    }
}

#[tokio::test]
async fn who_refuses_connections_leaves_and_returns() {
    for kind in [CheckKind::Http, CheckKind::Tcp, CheckKind::Grpc] {
        let server = Server::start(Some(OK)).await;
        let address = server.address;
        let balancer = one(&active(kind), address);
        settle().await;
        assert!(balancer.is_up());
        server.task.abort();
        until("the fall", || !balancer.is_up()).await;
        let _server = Server::on(address, Some(OK)).await;
        until("the rise", || balancer.is_up()).await;
    }
}

#[tokio::test]
async fn a_status_in_neither_list_changes_nothing() {
    let server = Server::start(Some(ELSE)).await;
    let balancer = one(&active(CheckKind::Http), server.address);
    until("ten checks", || server.requests.lock().unwrap().len() >= 10).await;
    assert_eq!(balancer.changes(), (0, 0));
}

#[tokio::test]
async fn only_those_with_a_rhythm_are_checked() {
    let mut upstream = active(CheckKind::Http);
    upstream.healthchecks.active.healthy.interval = 0.0;
    let server = Server::start(Some(OK)).await;
    let balancer = one(&upstream, server.address);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(server.requests.lock().unwrap().is_empty());
    // What a hand took out, checks bring back.
    balancer.set_health(server.address, false);
    until("the rise", || balancer.is_up()).await;
}

#[tokio::test]
async fn what_a_check_sends() {
    let mut upstream = active(CheckKind::Http);
    upstream.host_header = Some("orders.example".into());
    upstream.healthchecks.active.http_path = "/up?deep=1".into();
    let values = vec![Text::from("a"), Text::from("b")];
    upstream.healthchecks.active.headers =
        Some([("X-Check".to_owned(), values), ("Host".to_owned(), vec!["own.example".into()])].into());
    let server = Server::start(Some(OK)).await;
    let _balancer = one(&upstream, server.address);
    until("a check", || !server.requests.lock().unwrap().is_empty()).await;
    let request = server.requests.lock().unwrap()[0].clone();
    let (first, rest) = request.split_once("\r\n").unwrap();
    assert_eq!(first, "GET /up?deep=1 HTTP/1.1");
    let mut headers: Vec<_> = rest.trim_end().split("\r\n").collect();
    headers.sort();
    assert_eq!(headers, ["connection: close", "host: own.example", "x-check: a", "x-check: b"]);
}

#[tokio::test]
async fn a_dropped_balancer_checks_no_more() {
    let server = Server::start(Some(OK)).await;
    let balancer = one(&active(CheckKind::Http), server.address);
    until("a check", || !server.requests.lock().unwrap().is_empty()).await;
    drop(balancer);
    settle().await;
    let before = server.requests.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.requests.lock().unwrap().len(), before);
}

#[tokio::test]
async fn https_verifies_if_told() {
    let made = rcgen::generate_simple_self_signed(["orders.example".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(OK).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let roots = Arc::new(roots);
    for (kind, verify, sni, trusted, up) in [
        (CheckKind::Https, true, "orders.example", true, true),
        (CheckKind::Https, true, "other.example", true, false),
        (CheckKind::Https, true, "orders.example", false, false),
        (CheckKind::Https, false, "other.example", false, true),
        (CheckKind::Grpcs, true, "orders.example", true, true),
        (CheckKind::Grpcs, true, "other.example", true, false),
    ] {
        let mut upstream = active(kind);
        let active = &mut upstream.healthchecks.active;
        active.https_verify_certificate = verify;
        active.https_sni = Some(sni.into());
        let mut control = control(&Names::default());
        if trusted {
            control = control.with_roots(roots.clone());
        }
        let of = targets(&[(&*address.to_string(), 1)]);
        let balancer = Balancer::upstream(&upstream, &of, None, &control);
        balancer.start(&control);
        let case = format!("{kind:?}, verify {verify}, {sni}, trusted {trusted}");
        // Each starts from the other state, so that what is seen is the checks' doing.
        balancer.set_health(address, !up);
        until(&case, || balancer.is_up() == up).await;
    }
    server.abort();
}
