//! A DNS server of the tests' own: one UDP socket on the loopback, whose answers can be changed while it runs.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What it says of a name.
#[derive(Clone)]
pub(crate) enum Reply {
    A(Vec<&'static str>, u32),
    Srv(u16, u16, &'static str),
    ServFail,
    Silence,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    names: Arc<Mutex<HashMap<String, Reply>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let names = Arc::new(Mutex::new(HashMap::new()));
        let known = names.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                if let Some(reply) = reply(&buffer[..size], &known) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self { address, names, task }
    }

    pub(crate) fn set(&self, name: &str, reply: Reply) {
        self.names.lock().unwrap().insert(name.into(), reply);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 1035, section 4, as far as it is needed: one question, uncompressed names, no additional records.
fn reply(query: &[u8], known: &Mutex<HashMap<String, Reply>>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let size = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + size]).to_ascii_lowercase());
        at += size + 1;
    }
    let question = &query[12..at + 5];
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let known = known.lock().unwrap().get(&labels.join(".")).cloned();
    let (code, records): (u8, Vec<(u32, Vec<u8>)>) = match (known, kind) {
        (None, _) => (3, Vec::new()),
        (Some(Reply::Silence), _) => return None,
        (Some(Reply::ServFail), _) => (2, Vec::new()),
        (Some(Reply::A(ips, ttl)), 1) => {
            (0, ips.iter().map(|ip| (ttl, ip.parse::<Ipv4Addr>().unwrap().octets().into())).collect())
        }
        (Some(Reply::Srv(weight, port, target)), 33) => {
            let mut data = [[0, 1], weight.to_be_bytes(), port.to_be_bytes()].concat();
            for label in target.split('.') {
                data.push(label.len() as u8);
                data.extend(label.as_bytes());
            }
            data.push(0);
            (0, vec![(1, data)])
        }
        _ => (0, Vec::new()),
    };
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    reply.extend(question);
    for (ttl, data) in records {
        reply.extend([0xc0, 12]);
        reply.extend([kind.to_be_bytes(), [0, 1]].concat());
        reply.extend(ttl.to_be_bytes());
        reply.extend((data.len() as u16).to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}
