//! TLS on the status listener.
//!
//! Owns: handshakes, a few at a time and not for ever. Must not know: the pages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Until TLS must stand.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many handshakes are done at once. Whoever comes later waits in the socket's queue.
const AT_ONCE: usize = 64;
/// Until it is tried again to take a connection when that failed, as with too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections whose handshake is done.
pub(super) struct TlsListener {
    address: std::io::Result<SocketAddr>,
    done: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Takes connections from the socket until it is dropped.
    pub(super) fn start(socket: TcpListener, acceptor: TlsAcceptor) -> Self {
        let address = socket.local_addr();
        let (finished, done) = mpsc::channel(1);
        tokio::spawn(async move {
            let turns = Arc::new(Semaphore::new(AT_ONCE));
            while let Ok(turn) = Arc::clone(&turns).acquire_owned().await {
                let accepted = tokio::select! {
                    accepted = socket.accept() => accepted,
                    () = finished.closed() => return,
                };
                let Ok((stream, peer)) = accepted else {
                    sleep(PAUSE).await;
                    continue;
                };
                let (handshake, finished) = (acceptor.accept(stream), finished.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE, handshake).await {
                        let _ = finished.send((stream, peer)).await;
                    }
                    drop(turn);
                });
            }
        });
        Self { address, done }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.done.recv().await {
            Some(connection) => connection,
            // The task above ends after this listener only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}
