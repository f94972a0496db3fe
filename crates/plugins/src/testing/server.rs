//! An HTTP server on the loopback that notes what it is sent.
//!
//! Owns: reading requests with a length, and answering them. Must not know: any plugin.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The server; it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) port: u16,
    noted: Noted,
}

type Noted = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

impl Server {
    /// Answers with these statuses, one after the other, then with 200.
    pub(crate) async fn answering(statuses: &[u16]) -> Self {
        Self::saying(statuses.iter().map(|status| (*status, String::new()))).await
    }

    /// The same with bodies of JSON.
    pub(crate) async fn saying(answers: impl IntoIterator<Item = (u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, noted) = (listener.local_addr().unwrap().port(), Noted::default());
        let notes = Arc::clone(&noted);
        let answers: Vec<_> = answers.into_iter().collect();
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (notes, answers) = (Arc::clone(&notes), Arc::clone(&answers));
                let next = move || answers.lock().unwrap().next().unwrap_or((200, String::new()));
                tokio::spawn(serve(stream, notes, next));
            }
        });
        Self { port, noted }
    }

    /// Waits for so many requests, and gives their heads in lower case and their bodies. No more may have come.
    pub(crate) async fn requests(&self, number: usize) -> Vec<(String, Vec<u8>)> {
        for _ in 0..1000 {
            if self.noted.lock().unwrap().len() >= number {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let noted = self.noted.lock().unwrap().clone();
        assert_eq!(noted.len(), number);
        noted
    }
}

async fn serve(mut stream: TcpStream, notes: Noted, next: impl Fn() -> (u16, String)) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16384];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = end + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap());
        if bytes.len() < whole {
            continue;
        }
        notes.lock().unwrap().push((head, bytes[end + 4..whole].to_vec()));
        bytes.drain(..whole);
        let (status, body) = next();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all([head, body].concat().as_bytes()).await.unwrap();
    }
}
