//! Arguments and environment → a gateway that can be asked.
//!
//! Owns: decK's variables (`DECK_<FLAG>`) and defaults, and how TLS is to be. Must not know: what is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use postern_admin::client::Problems;
use postern_admin::client::gateway::{Connection, Gateway};
use postern_client::{Identity, Trust};
use postern_secrets::{Secret, io_reason};

use crate::cli::deck::Admin;
use crate::report::Failure;
use crate::settings;

const DEFAULT_ADDRESS: &str = "http://localhost:8001";
/// In seconds, for a request and its answer.
const DEFAULT_TIMEOUT: u64 = 10;

/// The variables of this process that may say something here.
pub(in crate::cmd) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(in crate::cmd) fn read() -> Self {
        let wanted = |name: &str| name.starts_with("DECK_") || name == "POSTERN_KONG_ADDR";
        Self(settings::environment().into_iter().filter(|(name, _)| wanted(name)).collect())
    }

    /// A variable, for templates.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// What was given, or else what `DECK_<name>` says.
    pub(super) fn or(&self, given: Option<String>, name: &str) -> Option<String> {
        given.or_else(|| self.variable(&format!("DECK_{name}"))).filter(|text| !text.is_empty())
    }

    /// Gets ready to ask.
    pub(in crate::cmd) fn connect(&self, admin: &Admin, workspace: Option<String>) -> Result<Gateway> {
        if admin.no_color {
            anstream::ColorChoice::Never.write_global();
        }
        let address = self
            .or(admin.kong_addr.clone(), "KONG_ADDR")
            .or_else(|| self.variable("POSTERN_KONG_ADDR"))
            .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        let verify = !(admin.tls_skip_verify || self.is_on("TLS_SKIP_VERIFY"));
        let connection = Connection {
            address,
            workspace,
            headers: self.headers(&admin.headers)?,
            token: self.or(admin.kong_admin_token.clone(), "KONG_ADMIN_TOKEN").map(Secret::from),
            trust: self.trust(admin)?,
            verify,
            identity: self.identity(admin)?,
            server_name: self.or(admin.tls_server_name.clone(), "TLS_SERVER_NAME"),
            timeout: self.timeout(admin)?,
        };
        Ok(Gateway::new(connection).map_err(|error| Problems::one(error.to_string()))?)
    }

    fn headers(&self, given: &[String]) -> Result<Vec<(String, Secret)>, Failure> {
        let from_environment = self.or(None, "HEADERS").unwrap_or_default();
        let of_environment =
            from_environment.split(',').filter(|_| given.is_empty()).filter(|one| !one.is_empty());
        given
            .iter()
            .map(String::as_str)
            .chain(of_environment)
            .map(|header| match header.split_once(':') {
                Some((name, value)) => Ok((name.trim().to_owned(), Secret::from(value.trim()))),
                // Not quoted: it may be a token.
                None => Err(Failure::new("a header of --headers has no colon", "write name:value")),
            })
            .collect()
    }

    /// The certificates that are given; those of the system where none are.
    fn trust(&self, admin: &Admin) -> Result<Trust, Failure> {
        let item = self
            .or(admin.ca_cert.clone(), "CA_CERT")
            .or_else(|| self.or(admin.ca_cert_file.clone(), "CA_CERT_FILE"));
        Trust::from_items([item.as_deref().unwrap_or("system")]).map_err(|error| {
            Failure::new(error.to_string(), "--ca-cert is PEM text, --ca-cert-file the path of a file")
        })
    }

    fn identity(&self, admin: &Admin) -> Result<Option<Identity>, Failure> {
        let pem = |text: &Option<String>, file: &Option<String>, name: &str| -> Result<_, Failure> {
            if let Some(text) = self.or(text.clone(), name) {
                return Ok(Some(Secret::from(text)));
            }
            let Some(file) = self.or(file.clone(), &format!("{name}_FILE")) else { return Ok(None) };
            let read = std::fs::read_to_string(&file).map_err(|error| {
                let flag = name.to_ascii_lowercase().replace('_', "-");
                Failure::new(
                    format!("cannot read {file}: {}", io_reason(&error)),
                    format!("--{flag}-file names it"),
                )
            })?;
            Ok(Some(Secret::from(read)))
        };
        let certificate = pem(&admin.tls_client_cert, &admin.tls_client_cert_file, "TLS_CLIENT_CERT")?;
        let key = pem(&admin.tls_client_key, &admin.tls_client_key_file, "TLS_CLIENT_KEY")?;
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Identity::from_pem(&certificate, &key).map(Some).map_err(|error| {
                    Failure::new(format!("the client certificate: {error}"), "both are PEM, of one pair")
                })
            }
            _ => Err(Failure::new(
                "a client certificate takes both certificate and key",
                "--tls-client-cert-file and --tls-client-key-file name them",
            )),
        }
    }

    fn timeout(&self, admin: &Admin) -> Result<Duration, Failure> {
        let given = admin.timeout.map(Ok).or_else(|| Some(self.or(None, "TIMEOUT")?.parse()));
        let seconds = given.unwrap_or(Ok(DEFAULT_TIMEOUT));
        let seconds = seconds.ok().filter(|seconds| (1..=86_400).contains(seconds));
        let wrong = || Failure::new("the timeout is no number of seconds", "as in --timeout 30");
        seconds.map(Duration::from_secs).ok_or_else(wrong)
    }

    fn is_on(&self, name: &str) -> bool {
        self.or(None, name).is_some_and(|text| matches!(text.as_str(), "1" | "true" | "TRUE" | "True"))
    }
}
