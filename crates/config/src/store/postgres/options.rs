//! Where a PostgreSQL server is, and who we are to it.
//!
//! Owns: what Kong's settings `pg_*` say, and that a password is in plain text only while a connection is made. Must not
//! know: where passwords come from; that is [`Credentials`].

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postern_secrets::Secret;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::super::StoreError;

/// Where the server is, and how to treat it.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `pg_host`: a name, an address, or the directory of a socket.
    pub host: String,
    /// `pg_port`.
    pub port: u16,
    /// `pg_database`.
    pub database: String,
    /// `pg_schema`; `None` for the one that is the user's default.
    pub schema: Option<String>,
    /// `pg_user` and `pg_password`, whatever they are by now.
    pub credentials: Arc<dyn Credentials>,
    /// `pg_ssl`: only over TLS. What the server says without is not believed.
    pub ssl: bool,
    /// `pg_ssl_verify`: its certificate has to be its own, and signed by `ca` or a public authority.
    pub ssl_verify: bool,
    /// PEM: whom to trust besides public authorities.
    pub ca: Vec<u8>,
    /// `pg_ssl_cert` and `pg_ssl_cert_key`, as PEM: what we show the server.
    pub client_certificate: Option<(Vec<u8>, Secret)>,
    /// `pg_timeout`: for how long to wait for a connection, and for each answer.
    pub timeout: Duration,
    /// `pg_pool_size`: how many connections at most, and at least four: one writes, two see what other nodes
    /// wrote, the others read.
    pub connections: usize,
}

impl PostgresOptions {
    /// Kong's defaults, and a database.
    pub fn new(database: &str, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            database: database.to_owned(),
            schema: None,
            credentials,
            ssl: false,
            ssl_verify: false,
            ca: Vec::new(),
            client_certificate: None,
            timeout: Duration::from_secs(5),
            connections: 10,
        }
    }

    /// For sqlx, to make one connection with; it keeps passwords as plain text, so this must not be kept. It takes what is
    /// not said here from the process environment, so all is said that can be: `PGOPTIONS`, and without a certificate of
    /// ours `PGSSLCERT` and `PGSSLKEY`, still have their say.
    pub(super) fn connect(&self, login: &Login) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&login.user)
            .password(login.password.as_ref().map_or("", Secret::expose))
            .ssl_root_cert_from_pem(self.ca.clone())
            .ssl_mode(match (self.ssl, self.ssl_verify) {
                (false, _) => PgSslMode::Disable,
                (true, false) => PgSslMode::Require,
                (true, true) => PgSslMode::VerifyFull,
            })
            .application_name("postern")
            .disable_statement_logging();
        match &self.client_certificate {
            Some((certificate, key)) => {
                options.ssl_client_cert_from_pem(certificate).ssl_client_key_from_pem(key.expose())
            }
            None => options,
        }
    }
}

impl Debug for PostgresOptions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { host, port, database, schema, ssl, ssl_verify, .. } = self;
        write!(
            f,
            "PostgresOptions({host}:{port}/{database}, {schema:?}, ssl: {ssl}, ssl_verify: {ssl_verify})"
        )
    }
}

/// A user and a password.
#[derive(Clone, Debug)]
pub struct Login {
    /// `pg_user`.
    pub user: String,
    /// `pg_password`; `None` where the server asks for none.
    pub password: Option<Secret>,
}

/// Who knows the user and the password, which may change while the store is open: connections that are there go on, new
/// ones are made with what is right by then.
#[async_trait]
pub trait Credentials: Send + Sync + Debug {
    /// What they are now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when they are not known now.
    async fn current(&self) -> Result<Login, StoreError>;

    /// The server did not take what [`Credentials::current`] gave: fetch them anew. It is asked again when this returns,
    /// once, and within the time for a connection.
    async fn refused(&self);
}

/// One that never changes.
#[async_trait]
impl Credentials for Login {
    async fn current(&self) -> Result<Self, StoreError> {
        Ok(self.clone())
    }

    async fn refused(&self) {}
}
