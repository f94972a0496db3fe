//! Where HTTP/1.1 messages end, as far as the engine and OpenBao speak it. Must not know: what is done with them.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Members of a login's JSON that are credentials.
const CREDENTIALS: [&str; 3] = ["jwt", "secret_id", "token"];

/// The next request, head and body; what comes behind it stays in `pending`. `None` when the client left.
pub(super) async fn request(stream: &mut (impl AsyncRead + Unpin), pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = head_end(pending) {
            let whole = end + length(&pending[..end]).unwrap_or(0);
            if pending.len() >= whole {
                return Some(pending.drain(..whole).collect());
            }
        }
        more(stream, pending).await?;
    }
}

/// One response, whole. `None` when it breaks off.
pub(super) async fn response(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = head_end(&bytes) {
            break end;
        }
        more(stream, &mut bytes).await?;
    };
    let bodiless = bytes.get(9..12).is_some_and(|status| status == b"204" || status == b"304");
    match length(&bytes[..end]) {
        _ if bodiless => {}
        Some(length) => {
            while bytes.len() < end + length {
                more(stream, &mut bytes).await?;
            }
        }
        // Chunked: OpenBao sends no trailers.
        None => {
            while !bytes.ends_with(b"0\r\n\r\n") {
                more(stream, &mut bytes).await?;
            }
        }
    }
    Some(bytes)
}

/// A made-up answer.
pub(super) fn answer(status: u16, retry_after: Option<u64>) -> Vec<u8> {
    let body = r#"{"errors":["told to fail"]}"#;
    let retry_after = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\n{retry_after}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The credentials in a request: its token, and what a login sends.
pub(super) fn credentials(request: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(end) = head_end(request) else { return found };
    found.extend(header(&request[..end], "x-vault-token"));
    if let Ok(json) = serde_json::from_slice::<Value>(&request[end..]) {
        found.extend(CREDENTIALS.iter().filter_map(|name| json[*name].as_str().map(str::to_owned)));
    }
    found
}

async fn more(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
    bytes.extend_from_slice(&buffer[..read]);
    Some(())
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn length(head: &[u8]) -> Option<usize> {
    header(head, "content-length")?.parse().ok()
}

fn header(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value.trim().to_owned())
}
