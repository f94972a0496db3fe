//! What every request to a vault has in common: address, namespace, token, and how a refusal reads.
//!
//! Owns: building URLs so that no part of a path can mean another path. Must not know: which requests there are.

use http::Method;
use http::header::HeaderName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;
use zeroize::Zeroizing;

use crate::settings::{FieldError, Settings};
use crate::vault::VaultError;
use postern_client::{Client, Outgoing, Reply};
use postern_secret::Secret;

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Vault answers some of its endpoints only with this header, as a guard against forged requests.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");

/// Where a vault is, and how to speak to it.
#[derive(Clone, Debug)]
pub(super) struct Api {
    base: Url,
    namespace: Option<Secret>,
    client: Client,
}

impl Api {
    pub(super) fn new(settings: &Settings, client: Client) -> Result<Self, FieldError> {
        let text = |name| settings.text(name).map(|text| text.expose().to_owned()).unwrap_or_default();
        let (protocol, host) = (text("protocol"), text("host"));
        let port = settings.integer("port").unwrap_or_default();
        // An IPv6 address may be written with or without brackets.
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        let base = Url::parse(&format!("{protocol}://{host}:{port}/"))
            .map_err(|error| FieldError::new("host", format!("not a host name or address: {error}")))?;
        let namespace = settings.text("namespace").filter(|namespace| !namespace.expose().is_empty());
        Ok(Self { base, namespace, client })
    }

    /// The client, for requests to others than the vault.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The vault's address, for people.
    pub(super) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The namespace, for people.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_ref().map(Secret::expose)
    }

    /// Reads `/v1/<path>`.
    pub(super) async fn get(
        &self,
        path: &str,
        version: Option<i64>,
        token: &Secret,
    ) -> Result<Reply, VaultError> {
        let mut url = self.url(path)?;
        if let Some(version) = version {
            url.query_pairs_mut().append_pair("version", &version.to_string());
        }
        let outgoing = Outgoing::new(Method::GET, url).secret_header(TOKEN, token);
        self.send(outgoing.map_err(unreachable)?).await
    }

    /// Writes JSON to `/v1/<path>`, without a token. `within` are the credentials in the JSON.
    pub(super) async fn post(
        &self,
        path: &str,
        json: Zeroizing<String>,
        within: &[&Secret],
    ) -> Result<Reply, VaultError> {
        let outgoing = Outgoing::new(Method::POST, self.url(path)?);
        self.send(outgoing.body("application/json", json, within)).await
    }

    /// Writes JSON to `/v1/<path>` with a token.
    pub(super) async fn post_as(
        &self,
        path: &str,
        json: Zeroizing<String>,
        token: &Secret,
    ) -> Result<Reply, VaultError> {
        let outgoing = Outgoing::new(Method::POST, self.url(path)?).secret_header(TOKEN, token);
        self.send(outgoing.map_err(unreachable)?.body("application/json", json, &[])).await
    }

    async fn send(&self, outgoing: Outgoing) -> Result<Reply, VaultError> {
        let mut outgoing = outgoing.header(REQUEST, "true").map_err(unreachable)?;
        if let Some(namespace) = &self.namespace {
            outgoing = outgoing.header(NAMESPACE, namespace.expose()).map_err(unreachable)?;
        }
        let reply = self.client.send(outgoing).await.map_err(unreachable)?;
        match &reply.location {
            Some(to) => Err(VaultError::Garbled {
                message: format!("{} redirects to {to}", self.address()),
                hint: Some(
                    "redirects are not followed with credentials: point host and port at the server itself"
                        .into(),
                ),
            }),
            None => Ok(reply),
        }
    }

    fn url(&self, path: &str) -> Result<Url, VaultError> {
        let mut url = self.base.clone();
        url.set_path(&format!("/v1/{}", encoded(path)?));
        Ok(url)
    }
}

/// A path with every segment encoded. Dot segments would be resolved on the way and reach another endpoint.
fn encoded(path: &str) -> Result<String, VaultError> {
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(VaultError::unusable(
            format!("the path {path:?} has a dot segment"),
            "name the secret by its full path below the mount",
        ));
    }
    let segments = path.split('/').map(|segment| utf8_percent_encode(segment, SEGMENT).to_string());
    Ok(segments.collect::<Vec<_>>().join("/"))
}

/// One slash at either end of a mount's name is a habit, not a meaning.
pub(super) fn mount(name: &str) -> &str {
    let name = name.strip_prefix('/').unwrap_or(name);
    name.strip_suffix('/').unwrap_or(name)
}

fn unreachable(cause: postern_client::TransportError) -> VaultError {
    VaultError::Unreachable(cause.into())
}

/// What a vault that does not answer 2xx said. `hint` is asked with status and text where the status does not say
/// enough by itself.
pub(super) fn refused(
    reply: &Reply,
    doing: &'static str,
    what: String,
    hint: impl FnOnce(u16, &str) -> Option<String>,
) -> VaultError {
    let body = reply.shown();
    let hint = match reply.status {
        _ if body.contains("Client sent an HTTP request to an HTTPS server") => {
            Some("the vault speaks TLS: set protocol: https in the vault's configuration".to_owned())
        }
        503 if body.contains("is sealed") => {
            Some("unseal the vault first: `vault operator unseal` (or `bao operator unseal`)".to_owned())
        }
        501 => Some("the vault is not initialised: `vault operator init`".to_owned()),
        429 => Some("the vault limits the rate of requests; try again later".to_owned()),
        status => hint(status, &body),
    };
    VaultError::Refused { doing, what, status: reply.status, body, hint, retry_after: reply.retry_after }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::Kind;
    use postern_client::Trust;

    fn api(config: serde_json::Value) -> Api {
        let settings = Settings::from_entity(Kind::Hcv, config.as_object().unwrap()).unwrap();
        Api::new(&settings, Client::new(&Trust::none(), true)).unwrap()
    }

    #[test]
    fn addresses_are_built_from_every_kind_of_host() {
        let address = |host: &str| api(json!({"token": "t", "host": host})).address().to_owned();
        assert_eq!(address("vault.local"), "http://vault.local:8200");
        assert_eq!(address("::1"), "http://[::1]:8200");
        assert_eq!(address("[::1]"), "http://[::1]:8200");
    }

    #[test]
    fn no_path_reaches_another_endpoint() {
        let api = api(json!({"token": "t"}));
        let url =
            |path: &str| api.url(path).map(|url| url.path().to_owned()).map_err(|error| error.to_string());
        assert_eq!(url("secret/data/a/b"), Ok("/v1/secret/data/a/b".into()));
        assert_eq!(url("secret/data/a b?c#d"), Ok("/v1/secret/data/a%20b%3Fc%23d".into()));
        assert_eq!(url("secret/data/%2e%2e/sys"), Ok("/v1/secret/data/%252e%252e/sys".into()));
        assert_eq!(url("secret/data/a\\..\\b"), Ok("/v1/secret/data/a%5C..%5Cb".into()));
        assert_eq!(
            url("secret/data/../sys"),
            Err("the path \"secret/data/../sys\" has a dot segment".into())
        );
    }

    #[test]
    fn one_slash_at_either_end_of_a_mount_is_ignored() {
        for name in ["jwt", "/jwt", "jwt/", "/jwt/"] {
            assert_eq!(mount(name), "jwt");
        }
        assert_eq!(mount("team/jwt"), "team/jwt");
    }
}
