//! A name server of the tests' own: every name that is asked for stands for 127.0.0.1.

use std::net::SocketAddr;

use tokio::{net::UdpSocket, task::JoinHandle};

/// A running name server. It ends when it is dropped.
pub struct Dns {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Dns {
    /// On a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("a bound port");
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                if let Some(reply) = reply(&buffer[..size]) {
                    socket.send_to(&reply, from).await.ok();
                }
            }
        });
        Self { address, task }
    }

    /// For the setting `dns_resolver`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 1035, section 4, as far as it is needed: one question; an answer to A, and none to anything else.
fn reply(query: &[u8]) -> Option<Vec<u8>> {
    const A: [u8; 2] = [0, 1];
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(12..12 + name + 5)?;
    let is_a = question[name + 1..name + 3] == A;
    let mut reply = [&query[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0], question].concat();
    if is_a {
        // The name of the question, IN, for an hour.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}
