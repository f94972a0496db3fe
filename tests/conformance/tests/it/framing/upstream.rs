//! An upstream made of bytes: takes requests apart strictly, keeps every one, and answers by a script.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::wire;

/// A request as the gateway sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// `GET /open`
    pub(super) line: String,
    /// All lines of the head, in lower case.
    pub(super) head: String,
    pub(super) body: String,
    /// Whether it ended as its head announced.
    pub(super) complete: bool,
}

/// What an upstream does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Sends it until the gateway has had enough.
    Endless(Vec<u8>),
    /// Nothing more, with the connection left open.
    Stall,
    /// The end of the connection.
    Close,
}

pub(super) fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

type Script = Arc<dyn Fn(&Heard) -> Vec<Step> + Send + Sync>;

/// A running upstream. It ends when it is dropped.
pub(super) struct Upstream {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// One that answers each request with its target: `for /open`.
    pub(super) async fn honest() -> Self {
        Self::new(|request| vec![send(honest(request))]).await
    }

    pub(super) async fn new(script: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound port");
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (record, script) = (Arc::clone(&heard), Arc::new(script) as Script);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&record)));
            }
        });
        Self { address, heard, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come since the last time.
    pub(super) fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A good answer that names the target.
pub(super) fn honest(request: &Heard) -> String {
    let target = request.line.split(' ').nth(1).unwrap_or_default();
    let body = format!("for {target}");
    let sent = if request.line.starts_with("HEAD ") { "" } else { &body };
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{sent}", body.len())
}

async fn serve(mut stream: TcpStream, script: Script, record: Arc<Mutex<Vec<Heard>>>) {
    let note = |heard: &Heard| record.lock().unwrap_or_else(PoisonError::into_inner).push(heard.clone());
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let (mut parsed, mut used) = parse(&bytes);
        while parsed.as_ref().is_none_or(|heard| !heard.complete) {
            match stream.read(&mut buffer).await {
                Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
                _ if bytes.is_empty() => return,
                // It broke off within a request.
                _ => {
                    let nonsense = || Heard {
                        line: "broken off".to_owned(),
                        head: String::from_utf8_lossy(&bytes).into_owned(),
                        body: String::new(),
                        complete: false,
                    };
                    return note(&parsed.unwrap_or_else(nonsense));
                }
            }
            (parsed, used) = parse(&bytes);
        }
        let Some(heard) = parsed else { return };
        bytes.drain(..used);
        note(&heard);
        for step in script(&heard) {
            let done = match step {
                Step::Send(bytes) => stream.write_all(&bytes).await,
                Step::Pause(time) => {
                    sleep(time).await;
                    Ok(())
                }
                Step::Stall => std::future::pending().await,
                Step::Close => return,
                Step::Endless(bytes) => loop {
                    if let Err(error) = stream.write_all(&bytes).await {
                        break Err(error);
                    }
                },
            };
            if done.is_err() {
                return;
            }
        }
    }
}

/// The first request in these bytes, and how many it takes. Strict: what is no request fails the test.
fn parse(bytes: &[u8]) -> (Option<Heard>, usize) {
    let Some(end) = wire::find(bytes, b"\r\n\r\n") else { return (None, 0) };
    let head = std::str::from_utf8(&bytes[..end]).expect("a head that is text").to_lowercase();
    let line = std::str::from_utf8(&bytes[..end]).expect("text").split("\r\n").next().unwrap_or_default();
    let mut words = line.split(' ');
    let line = format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let malformed = words.next() != Some("HTTP/1.1") || words.next().is_some();
    let bare = head.replace("\r\n", "").contains(['\r', '\n', '\0']);
    let rest = &bytes[end + 4..];
    let has_body =
        ["content-length", "transfer-encoding"].iter().any(|name| wire::field(&head, name).is_some());
    let (body, used, complete) = if has_body { wire::body(&head, rest) } else { (Vec::new(), 0, true) };
    let body = String::from_utf8_lossy(&body).into_owned();
    let line = if malformed || bare { format!("MALFORMED {line}") } else { line };
    assert!(wire::field(&head, "host").is_some(), "no host: {head}");
    (Some(Heard { line, head, body, complete }), end + 4 + used)
}
