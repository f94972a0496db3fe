//! The OAuth2 client-credentials grant (RFC 6749, 4.4): client id and secret → access token.
//!
//! Owns: the request, both ways to show the client's secret, and what to make of every reply. Must not know: what
//! the token is for. Tokens and client secrets stay in [`Secret`], which is why this is not a library's type
//! (docs/decisions/0003).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION};
use serde::Deserialize;
use thiserror::Error;
use url::Url;
use zeroize::Zeroizing;

use crate::client::{Client, Outgoing, Reply, TransportError, Untrusted};
use crate::secret::Secret;
use crate::trail::Trail;

/// How long a token is kept whose reply does not say how long it lives.
const UNSTATED_LIFE: Duration = Duration::from_secs(60);

/// A client of an identity provider.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Where tokens are issued.
    pub endpoint: Url,
    /// The client's id.
    pub client_id: Secret,
    /// The client's secret.
    pub client_secret: Secret,
    /// How the secret is shown.
    pub authentication: ClientAuthentication,
    /// For whom the token shall be; one `audience` parameter each.
    pub audiences: Vec<String>,
    /// What the token shall allow; one `scope` parameter with blanks.
    pub scopes: Vec<String>,
}

/// How a client shows its secret (RFC 6749, 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// `client_id` and `client_secret` in the form.
    Post,
    /// The header `Authorization: Basic`.
    Basic,
}

/// An access token.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// How long it lives from now.
    pub life: Duration,
}

/// Why there is no token. Texts of the IdP are cleaned of what was sent in secret.
#[derive(Debug, Error)]
pub enum OAuth2Error {
    /// The IdP could not be spoken to.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// The IdP said no.
    #[error("{endpoint} answered {status}: {text}")]
    Refused {
        /// The token endpoint.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// `error` and `error_description`, or what else it said.
        text: String,
    },
    /// The answer is not that of a token endpoint.
    #[error("{endpoint} answered {status} {what}")]
    NotAToken {
        /// The token endpoint.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What is there instead.
        what: String,
    },
}

/// RFC 6749, 5.2. The description may be anything, so it is cleaned before it is shown.
#[derive(Deserialize)]
struct ErrorReply {
    error: String,
    error_description: Option<String>,
}

/// RFC 6749, 5.1.
#[derive(Deserialize)]
struct TokenReply {
    access_token: Option<Secret>,
    expires_in: Option<Seconds>,
}

/// Some providers send the number as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl ClientCredentials {
    /// Asks for a token, once.
    pub async fn token(&self, client: &Client, trail: &Trail) -> Result<AccessToken, OAuth2Error> {
        let mut step = trail.step("get a token from the identity provider");
        step.fact("endpoint", &self.endpoint);
        step.fact("client id", self.client_id.expose());
        if !self.audiences.is_empty() {
            step.fact("audience", self.audiences.join(", "));
        }
        let outcome = self.ask(client).await;
        if let Ok(token) = &outcome {
            step.fact("life", format_args!("{} s", token.life.as_secs()));
        }
        step.done(outcome)
    }

    async fn ask(&self, client: &Client) -> Result<AccessToken, OAuth2Error> {
        let reply = client.send(self.request()?).await?;
        self.answered(&reply)
    }

    /// What to make of a reply.
    pub(crate) fn answered(&self, reply: &Reply) -> Result<AccessToken, OAuth2Error> {
        let (endpoint, status) = (self.endpoint.to_string(), reply.status);
        if reply.is_success() {
            let not_a_token = |what: &str| OAuth2Error::NotAToken {
                endpoint: endpoint.clone(),
                status,
                what: what.to_owned(),
            };
            // serde's own words would quote the reply.
            let token: TokenReply = serde_json::from_slice(reply.body()).map_err(|_| {
                not_a_token(&format!("with {}, not with a JSON token", media_type(&reply.media_type)))
            })?;
            let life = token.expires_in.and_then(Seconds::duration).unwrap_or(UNSTATED_LIFE);
            return match token.access_token {
                Some(token) if !token.expose().is_empty() => Ok(AccessToken { token, life }),
                _ => Err(not_a_token("without an access_token")),
            };
        }
        if let Some(to) = &reply.location {
            return Err(OAuth2Error::NotAToken { endpoint, status, what: format!("and redirects to {to}") });
        }
        let text = match serde_json::from_slice::<ErrorReply>(reply.body()) {
            Ok(ErrorReply { error, error_description: Some(description) }) => {
                reply.cleaned(&format!("{error}: {description}"))
            }
            Ok(ErrorReply { error, error_description: None }) => reply.cleaned(&error),
            Err(_) if reply.media_type == "text/html" => "an HTML page".to_owned(),
            Err(_) => reply.shown(),
        };
        Err(OAuth2Error::Refused { endpoint, status, text })
    }

    pub(crate) fn request(&self) -> Result<Outgoing, TransportError> {
        // Written by hand into a buffer that is wiped: a serialiser's own buffer would not be.
        let mut form = Zeroizing::new(String::with_capacity(1024 + 3 * self.client_secret.expose().len()));
        let mut pair = |name: &str, value: &str| {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            form.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        };
        pair("grant_type", "client_credentials");
        for audience in &self.audiences {
            pair("audience", audience);
        }
        if !self.scopes.is_empty() {
            pair("scope", &self.scopes.join(" "));
        }
        let outgoing =
            Outgoing::new(Method::POST, self.endpoint.clone()).header(ACCEPT, "application/json")?;
        match self.authentication {
            ClientAuthentication::Post => {
                pair("client_id", self.client_id.expose());
                pair("client_secret", self.client_secret.expose());
                Ok(outgoing.body(FORM, form, &[&self.client_secret]))
            }
            ClientAuthentication::Basic => {
                let header = basic(&self.client_id, &self.client_secret);
                // The reply may repeat it without the word before it.
                let pair = header.expose().strip_prefix(BASIC).map(Secret::from).unwrap_or(header.clone());
                let within = [&self.client_secret, &pair];
                Ok(outgoing.secret_header(AUTHORIZATION, &header)?.body(FORM, form, &within))
            }
        }
    }
}

const BASIC: &str = "Basic ";
const FORM: &str = "application/x-www-form-urlencoded";

impl OAuth2Error {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_) | Self::NotAToken { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
        }
    }

    /// What to do about it, for people.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Transport(TransportError::Untrusted(Untrusted::HostMismatch)) => {
                "the host in oauth2_token_endpoint must be one of the names (subjectAltName) in the provider's certificate"
            }
            Self::Transport(cause) => {
                return cause.hint().map(|hint| format!("{hint} (oauth2_token_endpoint)"));
            }
            Self::Refused { text, .. } if text.contains("Client sent an HTTP request to an HTTPS server") => {
                "the provider speaks TLS: oauth2_token_endpoint must begin with https://"
            }
            Self::Refused { status: 400 | 401 | 403, .. } => {
                "check oauth2_client_id, oauth2_client_secret and oauth2_audiences, and that the client may use the \
                 client-credentials grant for this audience"
            }
            Self::Refused { status: 404 | 405, .. } | Self::NotAToken { .. } => {
                "check that oauth2_token_endpoint is the token endpoint itself, as in the provider's \
                 /.well-known/openid-configuration"
            }
            Self::Refused { .. } => "see the identity provider's log",
        };
        Some(hint.to_owned())
    }
}

impl Seconds {
    fn duration(self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(number) => number,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// `Basic` with both halves form-encoded first, as RFC 6749 wants it.
fn basic(id: &Secret, secret: &Secret) -> Secret {
    let mut plain =
        Zeroizing::new(String::with_capacity(3 * (id.expose().len() + secret.expose().len()) + 1));
    plain.extend(form_urlencoded::byte_serialize(id.expose().as_bytes()));
    plain.push(':');
    plain.extend(form_urlencoded::byte_serialize(secret.expose().as_bytes()));
    let mut header = String::with_capacity(BASIC.len() + plain.len().div_ceil(3) * 4);
    header.push_str(BASIC);
    STANDARD.encode_string(plain.as_bytes(), &mut header);
    Secret::from(header)
}

/// What came instead of JSON. Of the other side's words only those are shown that anybody could have said: a reply may
/// hold in its `Content-Type` what was sent in secret, and lower case would hide it from a search for it.
fn media_type(media_type: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        "application/json",
        "application/jwt",
        "application/octet-stream",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "application/xml",
        "text/html",
        "text/plain",
        "text/xml",
    ];
    match media_type {
        "" => "no content type",
        other => KNOWN.into_iter().find(|known| *known == other).unwrap_or("an unusual content type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_encodes_both_halves_before_base64() {
        // `a b:c` and `p%+` become `a+b%3Ac` and `p%25%2B`.
        let header = basic(&Secret::from("a b:c"), &Secret::from("p%+"));
        assert_eq!(header.expose(), format!("Basic {}", STANDARD.encode("a+b%3Ac:p%25%2B")));
    }

    fn client(authentication: ClientAuthentication) -> ClientCredentials {
        ClientCredentials {
            endpoint: Url::parse("https://idp.test/token").unwrap(),
            client_id: Secret::from("client"),
            client_secret: Secret::from("s3cr3t/+"),
            authentication,
            audiences: Vec::new(),
            scopes: Vec::new(),
        }
    }

    #[test]
    fn no_refusal_repeats_the_clients_secret_or_a_token() {
        let basic = basic(&Secret::from("client"), &Secret::from("s3cr3t/+"));
        let pair = basic.expose().strip_prefix(BASIC).unwrap();
        let cases = [
            (ClientAuthentication::Post, "client_secret=s3cr3t%2F%2B", "client_secret=***"),
            (ClientAuthentication::Basic, basic.expose(), "***"),
            (ClientAuthentication::Basic, &format!("Authorization: {pair}"), "Authorization: ***"),
            (ClientAuthentication::Post, r#"{"access_token":"a.b.c"}"#, r#"{"access_token":"***"}"#),
        ];
        for (authentication, body, expected) in cases {
            let client = client(authentication);
            let reply = Reply::new(400, "", None, body.as_bytes(), client.request().unwrap().secrets());
            let said = client.answered(&reply).unwrap_err().to_string();
            assert_eq!(said, format!("https://idp.test/token answered 400: {expected}"));
        }
    }

    #[test]
    fn a_content_type_is_shown_if_it_is_a_common_one() {
        let shown = |media_type: &str| {
            let reply = Reply::new(200, media_type, None, b"<html>", &[]);
            client(ClientAuthentication::Post).answered(&reply).unwrap_err().to_string()
        };
        assert!(shown("application/problem+json").contains(" with application/problem+json, not"));
        assert!(shown("").contains(" with no content type, not"));
        for odd in ["client_secret=s3cr3t", "application/czNjcjN0", &"x".repeat(101)] {
            assert!(shown(odd).contains(" with an unusual content type, not"), "{odd}");
        }
    }

    #[test]
    fn lives_are_read_generously() {
        let life = |json: &str| {
            serde_json::from_str::<TokenReply>(json).unwrap().expires_in.and_then(Seconds::duration)
        };
        assert_eq!(life(r#"{"expires_in": 60}"#), Some(Duration::from_secs(60)));
        assert_eq!(life(r#"{"expires_in": "60"}"#), Some(Duration::from_secs(60)));
        assert_eq!(life(r#"{"expires_in": -1}"#), None);
        assert_eq!(life(r#"{"expires_in": 1e300}"#), None);
        assert_eq!(life(r#"{}"#), None);
    }
}
