//! A relay in front of a vault that loses what it is told to: requests on their way in, or answers on their way out.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is lost of an exchange; the connection breaks with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The server never sees the request.
    Request,
    /// The server answers, and the client never sees that.
    Answer,
}

/// A running relay. It ends when it is dropped.
pub(super) struct Lossy {
    address: SocketAddr,
    orders: Arc<Mutex<Orders>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Orders {
    lose: Option<(Loss, String)>,
    delay: Duration,
}

impl Lossy {
    pub(super) async fn to(port: u16) -> Self {
        Self::at(0, port).await
    }

    /// On a port of one's own choice.
    pub(super) async fn at(own: u16, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", own)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let orders = Arc::<Mutex<Orders>>::default();
        let followed = Arc::clone(&orders);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(relay(client, port, Arc::clone(&followed)));
            }
        });
        Self { address, orders, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Loses this of every request whose head has `path`.
    pub(super) fn lose(&self, loss: Loss, path: &str) {
        self.orders().lose = Some((loss, path.to_owned()));
    }

    pub(super) fn lose_nothing(&self) {
        self.orders().lose = None;
    }

    /// Holds answers back for so long.
    pub(super) fn delay(&self, delay: Duration) {
        self.orders().delay = delay;
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(mut client: TcpStream, port: u16, orders: Arc<Mutex<Orders>>) {
    let now = || orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut asked, mut answered) = ([0; 8192], [0; 8192]);
    let mut lose_answer = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                let text = String::from_utf8_lossy(&asked[..read]);
                match now().lose {
                    Some((Loss::Request, path)) if text.contains(&path) => return,
                    Some((Loss::Answer, path)) if text.contains(&path) => lose_answer = true,
                    _ => {}
                }
                if server.write_all(&asked[..read]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                if lose_answer {
                    return;
                }
                tokio::time::sleep(now().delay).await;
                if client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
