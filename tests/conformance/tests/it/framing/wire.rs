//! A client made of bytes: sends what it is told to, reads what comes, and takes replies apart strictly.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No exchange takes this long on the slowest machine; one that does has been forgotten.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// A reply as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Status line and fields, in lower case.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// Whether the body came to the end that its head announced.
    pub(super) complete: bool,
}

impl Reply {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The only value of a field; `None` without one.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The only value of a field.
pub(super) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut values = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value.trim());
    assert!(values.next().is_none(), "{name} is there twice: {head}");
    value
}

pub(super) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a gateway that takes connections")
}

/// Sends these bytes on a new connection, and reads until the gateway ends it.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address).await;
    // The gateway may have refused before all is sent.
    let _ = stream.write_all(bytes).await;
    to_end(&mut stream).await
}

/// Reads until the other side ends the connection, whichever way.
pub(super) async fn to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = async {
        let mut buffer = [0; 16 * 1024];
        while let Ok(1..) =
            stream.read(&mut buffer).await.inspect(|read| all.extend_from_slice(&buffer[..*read]))
        {}
    };
    if timeout(LIMIT, read).await.is_err() {
        panic!("the connection was not ended; so far: {}", String::from_utf8_lossy(&all));
    }
    all
}

/// All replies in these bytes. The last one may be incomplete.
pub(super) fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            let head = String::from_utf8_lossy(bytes).to_lowercase();
            replies.push(Reply { status: 0, head, body: Vec::new(), complete: false });
            break;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let rest = &bytes[end + 4..];
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        assert!(head.starts_with("http/1.") && status > 99, "no reply: {head}");
        let (body, used, complete) = match status {
            100..200 | 204 | 304 => (Vec::new(), 0, true),
            _ => body(&head, rest),
        };
        bytes = &rest[used..];
        replies.push(Reply { status, head, body, complete });
    }
    replies
}

/// The body behind a head: what it is, how many bytes it takes, and whether all of it is there.
pub(super) fn body(head: &str, bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let length = field(head, "content-length");
    match field(head, "transfer-encoding") {
        Some(encoding) => {
            assert!(length.is_none(), "two lengths: {head}");
            assert_eq!(encoding, "chunked", "{head}");
            chunks(bytes)
        }
        None => match length {
            Some(length) => {
                assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{head}");
                let length = length.parse().expect("a length");
                let there = bytes.len().min(length);
                (bytes[..there].to_vec(), there, there == length)
            }
            None => (bytes.to_vec(), bytes.len(), false),
        },
    }
}

/// Chunks without extensions, for the gateway sends none. Trailers stand behind the body, after a bar.
fn chunks(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return (body, bytes.len(), false) };
        let size = std::str::from_utf8(&bytes[at..at + end]).expect("the size of a chunk");
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        at += end + 2;
        if bytes.len() < at + size + 2 {
            body.extend_from_slice(&bytes[at..bytes.len().min(at + size)]);
            return (body, bytes.len(), false);
        }
        if size == 0 && !bytes[at..].starts_with(b"\r\n") {
            let Some(end) = find(&bytes[at..], b"\r\n\r\n") else { return (body, bytes.len(), false) };
            body.push(b'|');
            body.extend_from_slice(&bytes[at..at + end]);
            return (body, at + end + 4, true);
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size;
        assert_eq!(&bytes[at..at + 2], b"\r\n", "the end of a chunk");
        at += 2;
        if size == 0 {
            return (body, at, true);
        }
    }
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
