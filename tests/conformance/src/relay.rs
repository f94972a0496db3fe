//! A relay in front of a server: it hands bytes on in both directions and keeps what the client said.
//!
//! With it a test can count requests and read them, without a word about it from the server.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A running relay. It ends when it is dropped.
pub struct Relay {
    address: SocketAddr,
    said: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts one in front of `http://HOST:PORT`; a path behind it does not matter.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(url: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("a plain http URL");
        let target = rest.split('/').next().unwrap_or(rest).to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound port");
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let record = Arc::clone(&said);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(hand_on(client, target.clone(), Arc::clone(&record)));
            }
        });
        Self { address, said, task }
    }

    /// The port, of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that clients said, as text.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Method and path of each request: `POST /oauth/token`.
    pub fn requests(&self) -> Vec<String> {
        let said = self.said();
        // A body without a line end may stand right before the next request.
        let ends = said.match_indices(" HTTP/1.1\r\n").map(|(at, _)| at);
        let lines = ends.filter_map(|end| {
            let start =
                ["GET /", "POST /", "PUT /"].iter().filter_map(|method| said[..end].rfind(method)).max()?;
            Some(said[start..end].to_owned())
        });
        lines.collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(client: TcpStream, target: String, record: Arc<Mutex<Vec<u8>>>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            record.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        to_server.shutdown().await.ok();
    };
    let answering = async {
        copy(&mut from_server, &mut to_client).await.ok();
        to_client.shutdown().await.ok();
    };
    tokio::join!(asking, answering);
}
