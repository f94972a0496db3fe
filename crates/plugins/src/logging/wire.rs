//! TCP, with TLS or without, and UDP to those who take logs and metrics.
//!
//! Owns: that a connection is made when it is needed, kept, and made anew when the other side has gone. Must not know: what
//! is sent. What was written just before the other side went away may be lost: neither protocol says what has arrived.

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use postern_client::{Trust, tls_config};
use postern_model::Value;
use postern_secrets::io_reason;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// Where to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For connecting, and for sending.
    pub(crate) timeout: Duration,
}

impl Place {
    /// An error for people. Host and port may come from a vault, so they are not named.
    fn error(what: &str, error: &Error) -> String {
        format!("cannot {what}: {}", io_reason(error))
    }

    async fn within<T>(
        &self,
        what: &str,
        doing: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, String> {
        let done = timeout(self.timeout, doing).await;
        done.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())).map_err(|error| Self::error(what, &error))
    }
}

/// A connection that is kept.
pub(crate) struct Tcp {
    place: Place,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// For how long it is kept without use.
    idle: Duration,
    open: Mutex<Option<Open>>,
}

struct Open {
    stream: Stream,
    used: Instant,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// A rule: the name of a server, as TLS has them, or an address.
pub(crate) fn server_name(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(name) if ServerName::try_from(name.as_str()).is_err() => {
            Err("not the name of a server".to_owned())
        }
        _ => Ok(()),
    }
}

impl Tcp {
    /// Nothing is connected yet.
    pub(crate) fn new(place: Place, idle: Duration) -> Self {
        Self { place, tls: None, idle, open: Mutex::default() }
    }

    /// The same over TLS, under the name of the host or another one.
    ///
    /// # Errors
    /// The name is none.
    pub(crate) fn with_tls(
        mut self,
        trust: &Trust,
        verify: bool,
        name: Option<&str>,
    ) -> Result<Self, String> {
        let name = name.unwrap_or(&self.place.host).to_owned();
        let name = ServerName::try_from(name).map_err(|_| "not the name of a server")?;
        self.tls = Some((TlsConnector::from(Arc::new(tls_config(trust, verify))), name));
        Ok(self)
    }

    /// Sends all of it.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Result<(), String> {
        let mut kept = self.open.lock().await;
        let usable = kept.take().filter(|open| open.used.elapsed() < self.idle && open.stream.is_alive());
        let mut stream = match usable {
            Some(open) => open.stream,
            None => self.connect().await?,
        };
        let place = &self.place;
        place.within("send", stream.send(bytes)).await?;
        *kept = Some(Open { stream, used: Instant::now() });
        Ok(())
    }

    async fn connect(&self) -> Result<Stream, String> {
        let Place { host, port, .. } = &self.place;
        let stream = self.place.within("connect", TcpStream::connect((host.as_str(), *port))).await?;
        let _ = stream.set_nodelay(true);
        let Some((connector, name)) = &self.tls else { return Ok(Stream::Plain(stream)) };
        let handshake = connector.connect(name.clone(), stream);
        let stream = self.place.within("agree on TLS", handshake).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether the other side has not ended it.
    fn is_alive(&self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        match self.tcp().poll_peek(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Pending => true,
            Poll::Ready(read) => read.is_ok_and(|read| read > 0),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let stream: &mut (dyn AsyncWrite + Send + Unpin) = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        };
        stream.write_all(bytes).await?;
        stream.flush().await
    }
}

/// Bytes of a datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;

/// Datagrams.
pub(crate) struct Udp {
    place: Place,
    open: Mutex<Option<UdpSocket>>,
}

impl Udp {
    /// Nothing is looked up yet.
    pub(crate) fn new(place: Place) -> Self {
        Self { place, open: Mutex::default() }
    }

    /// Sends each as a datagram of its own, and says how many could not be sent.
    ///
    /// # Errors
    /// None could be sent.
    pub(crate) async fn send<'a>(
        &self,
        datagrams: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<usize, String> {
        let mut kept = self.open.lock().await;
        let socket = match kept.take() {
            Some(socket) => socket,
            None => self.place.within("reach it", self.connect()).await?,
        };
        let (mut sent, mut lost, mut failure) = (0, 0, None);
        for datagram in datagrams {
            if datagram.len() > DATAGRAM_MAX {
                lost += 1;
                continue;
            }
            let first = self.place.within("send", socket.send(datagram)).await;
            // It may be the answer to an earlier datagram: nobody was there. Nor does anybody tell whether this one arrives.
            let second = match first {
                Err(_) => self.place.within("send", socket.send(datagram)).await,
                first => first,
            };
            match second {
                Ok(_) => sent += 1,
                Err(reason) => failure = Some(reason),
            }
        }
        if sent == 0
            && let Some(reason) = failure
        {
            return Err(reason);
        }
        *kept = Some(socket);
        Ok(lost)
    }

    async fn connect(&self) -> Result<UdpSocket, Error> {
        let Place { host, port, .. } = &self.place;
        let address = lookup_host((host.as_str(), *port)).await?.next();
        let address = address.ok_or(ErrorKind::NotFound)?;
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        Ok(socket)
    }
}
