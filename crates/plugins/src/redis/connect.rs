//! From settings to a connection that is logged in.
//!
//! Owns: TLS, Sentinels, the login, and which refusals are about credentials. Must not know: what is asked afterwards.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postern_client::{Trust, tls_config};
use postern_secrets::{Secret, io_reason};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::resp::{self, Reply};

/// A name or address with its port.
pub(crate) type Place = (String, u16);

/// How a Redis is reached.
#[derive(Clone, PartialEq)]
pub(crate) struct Settings {
    /// The server, or some nodes of a cluster; without Sentinels.
    pub(crate) places: Vec<Place>,
    pub(crate) login: Login,
    /// Whatever Redis makes of it.
    pub(crate) database: i64,
    /// TLS, with the server's name where it is another one.
    pub(crate) tls: Option<Tls>,
    pub(crate) timeout: Duration,
    pub(crate) sentinels: Option<Sentinels>,
    /// How often a cluster may send us on.
    pub(crate) redirections: u32,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Tls {
    pub(crate) trust: Trust,
    pub(crate) verify: bool,
    pub(crate) name: Option<String>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Sentinels {
    pub(crate) places: Vec<Place>,
    pub(crate) master: String,
    pub(crate) login: Login,
}

#[derive(Clone, Default, PartialEq)]
pub(crate) struct Login {
    pub(crate) username: Option<Secret>,
    pub(crate) password: Option<Secret>,
}

/// Why there is no connection. For logs: no credential is in it, nor what the server said of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It cannot be reached, or says nonsense.
    Away(String),
    /// It refuses our credentials.
    Refused,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(reason) => f.write_str(reason),
            Self::Refused => f.write_str("Redis refuses our credentials"),
        }
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that may be asked.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) buffer: BytesMut,
}

/// Connects to a place, or to the first of the settings that answers, and logs in. All of it within the time of the settings.
pub(crate) async fn connect(settings: &Settings, place: Option<&Place>) -> Result<Connection, Failure> {
    let most = settings.timeout;
    let connected = timeout(most, async {
        if let Some(place) = place {
            return open(settings, place, &settings.login, settings.database).await;
        }
        let master;
        let places = match &settings.sentinels {
            None => &settings.places,
            Some(sentinels) => {
                master = [find_master(settings, sentinels).await?];
                &master[..].to_vec()
            }
        };
        let mut failure = Failure::Away("no server is configured".to_owned());
        for place in places {
            match open(settings, place, &settings.login, settings.database).await {
                Ok(connection) => return Ok(connection),
                Err(other) => failure = other,
            }
        }
        Err(failure)
    });
    connected.await.unwrap_or_else(|_| Err(Failure::Away("Redis does not answer in time".to_owned())))
}

async fn find_master(settings: &Settings, sentinels: &Sentinels) -> Result<Place, Failure> {
    let mut failure = Failure::Away("no Sentinel is configured".to_owned());
    for place in &sentinels.places {
        // One that does not answer must not take all of the time.
        let most =
            settings.timeout / (u32::try_from(sentinels.places.len()).unwrap_or(u32::MAX).saturating_add(1));
        let asked = timeout(most.max(Duration::from_millis(1)), async {
            let mut connection = open(settings, place, &sentinels.login, 0).await?;
            connection.ask(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", sentinels.master.as_bytes()]).await
        });
        match asked.await {
            Ok(Ok(Reply::Array(parts))) => {
                if let [Reply::Text(host), Reply::Text(port)] = parts.as_slice()
                    && let (Ok(host), Ok(port)) = (std::str::from_utf8(host), std::str::from_utf8(port))
                    && let Ok(port) = port.parse()
                {
                    return Ok((host.to_owned(), port));
                }
            }
            Ok(Ok(_)) => failure = Failure::Away("a Sentinel does not know the master".to_owned()),
            Ok(Err(other)) => failure = other,
            Err(_) => failure = Failure::Away("a Sentinel does not answer in time".to_owned()),
        }
    }
    Err(failure)
}

async fn open(
    settings: &Settings,
    place: &Place,
    login: &Login,
    database: i64,
) -> Result<Connection, Failure> {
    let away = |error: io::Error| Failure::Away(format!("Redis: {}", io_reason(&error)));
    let (host, port) = place;
    let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(away)?;
    let _ = tcp.set_nodelay(true);
    let stream: Box<dyn Stream> = match &settings.tls {
        None => Box::new(tcp),
        Some(Tls { trust, verify, name }) => {
            let name = ServerName::try_from(name.as_ref().unwrap_or(host).clone());
            let name = name.map_err(|_| Failure::Away("server_name: not the name of a server".to_owned()))?;
            let connector = TlsConnector::from(Arc::new(tls_config(trust, *verify)));
            Box::new(connector.connect(name, tcp).await.map_err(away)?)
        }
    };
    let mut connection = Connection { stream, buffer: BytesMut::new() };
    if let Some(password) = &login.password {
        let words = [b"AUTH".as_slice()].into_iter();
        let words: Vec<&[u8]> = words
            .chain(login.username.as_ref().map(|name| name.expose().as_bytes()))
            .chain([password.expose().as_bytes()])
            .collect();
        connection.expect_ok(&words).await?;
    }
    if database > 0 {
        connection.expect_ok(&[b"SELECT", database.to_string().as_bytes()]).await?;
    } else {
        // Whoever may not do this may do nothing: it is better known now.
        match connection.ask(&[b"PING"]).await? {
            Reply::Error(error) if is_about_credentials(&error) => return Err(Failure::Refused),
            _ => {}
        }
    }
    Ok(connection)
}

impl Connection {
    /// One command and its reply, one after the other.
    pub(crate) async fn ask(&mut self, words: &[&[u8]]) -> Result<Reply, Failure> {
        let away = |error: io::Error| Failure::Away(format!("Redis: {}", io_reason(&error)));
        self.stream.write_all(&resp::command(words.iter().copied())).await.map_err(away)?;
        self.stream.flush().await.map_err(away)?;
        loop {
            match resp::take(&mut self.buffer) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(_) => return Err(Failure::Away("this is no Redis".to_owned())),
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(away)? == 0 {
                return Err(Failure::Away("Redis closed the connection".to_owned()));
            }
        }
    }

    async fn expect_ok(&mut self, words: &[&[u8]]) -> Result<(), Failure> {
        match self.ask(words).await? {
            Reply::Status(_) => Ok(()),
            Reply::Error(error) if is_about_credentials(&error) => Err(Failure::Refused),
            _ => Err(Failure::Away("Redis does not let us in".to_owned())),
        }
    }
}

/// Of an error: it says that who we are, or claim to be, is not right.
pub(crate) fn is_about_credentials(error: &str) -> bool {
    ["WRONGPASS", "NOAUTH", "ERR invalid password", "ERR AUTH", "ERR Client sent AUTH"]
        .iter()
        .any(|begin| error.starts_with(begin))
}
