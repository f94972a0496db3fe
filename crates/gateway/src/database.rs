//! The store that the settings name.
//!
//! Owns: which one it is, and whom a PostgreSQL server takes us for: credentials may be references, which are read again
//! when the server refuses them. Must not know: what is kept there.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use base64::Engine as _;
use postern_client::Trust;
use postern_config::store::postgres::{self, Credentials, Login, PostgresOptions};
use postern_config::store::{OpenError, Store, StoreError, sqlite};
use postern_secrets::resolve::Resolver;
use postern_secrets::trail::Trail;
use postern_secrets::{Secret, Template, io_reason};

use crate::report::Failure;
use crate::settings::Settings;
use crate::settings::node::{Database, Postgres};

/// Opens the store; there is none where the configuration is a file.
pub(crate) async fn open(
    database: &Database,
    prefix: &Path,
    settings: &Settings,
    resolver: Arc<Resolver>,
    trust: &Trust,
) -> Result<Option<Arc<dyn Store>>> {
    match database {
        Database::Off => Ok(None),
        Database::Sqlite => {
            std::fs::create_dir_all(prefix).map_err(|error| {
                Failure::new(
                    format!("cannot make {}: {}", prefix.display(), io_reason(&error)),
                    "the setting prefix names a directory that the node may write to; the database is a file in it",
                )
            })?;
            sqlite::open(prefix).await.map(Some).map_err(|error| failed(&error, database).into())
        }
        Database::Postgres(server) => {
            let options = options(server, settings, resolver, trust).await?;
            postgres::open(options).await.map(Some).map_err(|error| failed(&error, database).into())
        }
    }
}

/// What a PostgreSQL server is reached by.
pub(crate) async fn options(
    server: &Postgres,
    settings: &Settings,
    resolver: Arc<Resolver>,
    trust: &Trust,
) -> Result<PostgresOptions> {
    let credentials = FromSettings::read(settings, resolver).await?;
    Ok(PostgresOptions {
        host: server.host.clone(),
        port: server.port,
        timeout: server.timeout,
        schema: server.schema.clone(),
        ssl: server.ssl,
        ssl_verify: server.ssl_verify,
        ca: pem(trust),
        connections: server.connections,
        ..PostgresOptions::new(&server.database, Arc::new(credentials))
    })
}

/// Whom servers are checked against, as PEM.
fn pem(trust: &Trust) -> Vec<u8> {
    let mut pem = String::new();
    for certificate in trust.certificates() {
        let text = base64::engine::general_purpose::STANDARD.encode(&certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}

/// An error for people.
pub(crate) fn failed(error: &OpenError, database: &Database) -> Failure {
    let hint = match error {
        OpenError::Migrations { .. } => "postern migrations up prepares it",
        OpenError::File { .. } => "the setting prefix names a directory that the node may write to",
        OpenError::Store(_) if matches!(database, Database::Sqlite) => {
            "the database is a file in the directory that the setting prefix names: is the disk full, or the file damaged?"
        }
        OpenError::Store(_) => "is the server there? The settings pg_* say where it is and who we are",
        _ => "the setting database says where the configuration is kept",
    };
    Failure::new(format!("database: {error}"), hint)
}

/// `pg_user` and `pg_password`, as they are by now.
#[derive(Debug)]
struct FromSettings {
    user: Text,
    password: Option<Text>,
    resolver: Arc<Resolver>,
    known: Mutex<Login>,
}

/// A setting as it was written.
#[derive(Debug)]
enum Text {
    Plain(Secret),
    Reference(Template),
}

impl FromSettings {
    async fn read(settings: &Settings, resolver: Arc<Resolver>) -> Result<Self> {
        let text = |key: &str| settings.text(key).map(|text| Text::of(text, key)).transpose();
        let user = text("pg_user")?.unwrap_or_else(|| Text::Plain(Secret::from("kong")));
        let password = text("pg_password")?;
        let login = Login { user: String::new(), password: None };
        let credentials = Self { user, password, resolver, known: Mutex::new(login) };
        credentials.read_again().await.map_err(|error| {
            Failure::new(
                error.to_string(),
                "pg_user and pg_password may be references; does this one resolve?",
            )
        })?;
        Ok(credentials)
    }

    async fn read_again(&self) -> Result<(), StoreError> {
        let user = self.user.resolved(&self.resolver, "pg_user").await?.expose().to_owned();
        let password = match &self.password {
            Some(password) => Some(password.resolved(&self.resolver, "pg_password").await?),
            None => None,
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Login { user, password };
        Ok(())
    }
}

impl Text {
    fn of(text: &Secret, key: &str) -> Result<Self, Failure> {
        if !Template::has_reference(text.expose()) {
            return Ok(Self::Plain(text.clone()));
        }
        Template::parse(text.expose())
            .map(Self::Reference)
            .map_err(|error| Failure::new(format!("{key}: {error}"), error.hint()))
    }

    async fn resolved(&self, resolver: &Resolver, key: &str) -> Result<Secret, StoreError> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Reference(template) => resolver.fill(template, &Trail::off()).await.map_err(|error| {
                StoreError::Unavailable(format!(
                    "failed to dereference '{template}': {error} for config option '{key}'"
                ))
            }),
        }
    }
}

#[async_trait]
impl Credentials for FromSettings {
    async fn current(&self) -> Result<Login, StoreError> {
        Ok(self.known.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn refused(&self) {
        match self.read_again().await {
            Ok(()) => tracing::info!("the database refused our credentials; they were read again"),
            Err(error) => {
                tracing::warn!(%error, "the database refused our credentials, and there are no others")
            }
        }
    }
}
