//! OAuth2's grants without a browser: client id and secret → access token (client credentials, RFC 6749, 4.4), or those and
//! a user's name and password (4.3).
//!
//! Owns: the request, the ways to show the client's secret, and what to make of every reply. Must not know: what
//! the token is for. Tokens and client secrets stay in [`Secret`], which is why this is not a library's type
//! (docs/decisions/0003).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use url::Url;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::trail::Trail;
use postern_client::{Client, Outgoing, Reply, TransportError, Untrusted};
use postern_secret::Secret;

/// How long a token is kept whose reply does not say how long it lives.
const UNSTATED_LIFE: Duration = Duration::from_secs(60);

/// A client of an identity provider, and how it asks for tokens.
#[derive(Clone, Debug)]
pub struct TokenClient {
    /// Where tokens are issued.
    pub endpoint: Url,
    /// The client's id; not sent where it is empty.
    pub client_id: Secret,
    /// The client's secret.
    pub client_secret: Secret,
    /// How the secret is shown.
    pub authentication: ClientAuthentication,
    /// Name and password of a user, for the password grant; without, it is the client-credentials grant.
    pub user: Option<(Secret, Secret)>,
    /// For whom the token shall be; one `audience` parameter each.
    pub audiences: Vec<String>,
    /// What the token shall allow; one `scope` parameter with blanks.
    pub scopes: Vec<String>,
    /// Headers besides those of the grant.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Parameters besides those of the grant.
    pub parameters: Vec<(String, Secret)>,
    /// How long a token lives whose reply does not say: 60 seconds.
    pub unstated_life: Duration,
}

/// What whoever configures a client calls these, for hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldNames {
    /// [`TokenClient::endpoint`].
    pub endpoint: &'static str,
    /// [`TokenClient::client_id`].
    pub client_id: &'static str,
    /// [`TokenClient::client_secret`].
    pub client_secret: &'static str,
    /// [`TokenClient::audiences`].
    pub audiences: &'static str,
}

/// How a client shows its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// `client_id` and `client_secret` in the form (RFC 6749, 2.3.1).
    Post,
    /// The header `Authorization: Basic` (RFC 6749, 2.3.1).
    Basic,
    /// A JWT that is signed with the secret (RFC 7523, 2.2).
    Jwt(JwtAlgorithm),
    /// Not at all: a public client.
    None,
}

/// How a JWT is signed with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-512.
    Hs512,
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

impl TokenClient {
    /// A client that asks for nothing in particular, by the client-credentials grant.
    pub fn new(endpoint: Url, client_id: Secret, client_secret: Secret) -> Self {
        Self {
            endpoint,
            client_id,
            client_secret,
            authentication: ClientAuthentication::Post,
            user: None,
            audiences: Vec::new(),
            scopes: Vec::new(),
            headers: Vec::new(),
            parameters: Vec::new(),
            unstated_life: UNSTATED_LIFE,
        }
    }

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
            let life = token.expires_in.and_then(Seconds::duration).unwrap_or(self.unstated_life);
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
        let mut outgoing =
            Outgoing::new(Method::POST, self.endpoint.clone()).header(ACCEPT, "application/json")?;
        for (name, value) in &self.headers {
            outgoing = outgoing.secret_header(name.clone(), value)?;
        }
        let mut form = Form::with_room_for(self);
        form.pair("grant_type", if self.user.is_some() { "password" } else { "client_credentials" });
        let mut within = vec![&self.client_secret];
        if let Some((name, password)) = &self.user {
            form.pair("username", name.expose());
            form.pair("password", password.expose());
            within.push(password);
        }
        for audience in &self.audiences {
            form.pair("audience", audience);
        }
        if !self.scopes.is_empty() {
            form.pair("scope", &self.scopes.join(" "));
        }
        for (name, value) in &self.parameters {
            form.pair(name, value.expose());
            within.push(value);
        }
        let has_id = !self.client_id.expose().is_empty();
        // The reply may repeat what was made of the secret.
        let mut made = None;
        match self.authentication {
            ClientAuthentication::Post => {
                form.pair("client_id", self.client_id.expose());
                form.pair("client_secret", self.client_secret.expose());
            }
            ClientAuthentication::Basic => {
                let header = basic(&self.client_id, &self.client_secret);
                outgoing = outgoing.secret_header(AUTHORIZATION, &header)?;
                // Perhaps without the word before it.
                made = Some(header.expose().strip_prefix(BASIC).map(Secret::from).unwrap_or(header.clone()));
            }
            ClientAuthentication::Jwt(algorithm) => {
                let assertion = self.assertion(algorithm);
                form.pair("client_id", self.client_id.expose());
                form.pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.pair("client_assertion", assertion.expose());
                made = Some(assertion);
            }
            ClientAuthentication::None if has_id => form.pair("client_id", self.client_id.expose()),
            ClientAuthentication::None => {}
        }
        within.extend(&made);
        // Of nothing there is nothing to be found in a reply.
        within.retain(|secret| !secret.expose().is_empty());
        Ok(outgoing.body(FORM, form.0, &within))
    }

    /// A JWT about this client for this endpoint, of use for a minute and once.
    fn assertion(&self, algorithm: JwtAlgorithm) -> Secret {
        let now = Clock::system().now();
        let (name, hash) = match algorithm {
            JwtAlgorithm::Hs256 => ("HS256", hmac::HMAC_SHA256),
            JwtAlgorithm::Hs512 => ("HS512", hmac::HMAC_SHA512),
        };
        let id = self.client_id.expose();
        let claims = json!({
            "iss": id, "sub": id, "aud": self.endpoint.as_str(), "iat": now, "exp": now + 60,
            "jti": format!("{:032x}", fastrand::u128(..)),
        });
        let header = json!({"alg": name, "typ": "JWT"});
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = [part(header), part(claims)].join(".");
        let key = hmac::Key::new(hash, self.client_secret.expose().as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        Secret::from([signed, signature].join("."))
    }
}

/// A form, written by hand into a buffer that is wiped: a serialiser's own buffer would not be.
struct Form(Zeroizing<String>);

impl Form {
    /// It must not grow: what was moved would stay behind.
    fn with_room_for(client: &TokenClient) -> Self {
        let user = client.user.iter().flat_map(|(name, password)| [name, password]);
        let parameters = client.parameters.iter().map(|(_, value)| value);
        let secrets = [&client.client_id, &client.client_secret].into_iter().chain(user).chain(parameters);
        let plain = client
            .audiences
            .iter()
            .chain(&client.scopes)
            .chain(client.parameters.iter().map(|(name, _)| name));
        let length = secrets.map(|secret| secret.expose().len()).sum::<usize>()
            + plain.map(|text| text.len() + 16).sum::<usize>()
            + 2 * client.endpoint.as_str().len();
        Self(Zeroizing::new(String::with_capacity(2048 + 3 * length)))
    }

    fn pair(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
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

    /// Whether the IdP does not know this client or its secret: fresh ones may be to be had.
    pub fn refuses_the_client(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 401 | 403, .. })
    }

    /// What to do about it, for people who know the fields by these names.
    pub fn hint(&self, names: &FieldNames) -> Option<String> {
        let FieldNames { endpoint, client_id, client_secret, audiences } = names;
        let hint = match self {
            Self::Transport(TransportError::Untrusted(Untrusted::HostMismatch)) => format!(
                "the host in {endpoint} must be one of the names (subjectAltName) in the provider's certificate"
            ),
            Self::Transport(cause) => return cause.hint().map(|hint| format!("{hint} ({endpoint})")),
            Self::Refused { text, .. } if text.contains("Client sent an HTTP request to an HTTPS server") => {
                format!("the provider speaks TLS: {endpoint} must begin with https://")
            }
            Self::Refused { status: 400 | 401 | 403, .. } => format!(
                "check {client_id}, {client_secret} and {audiences}, and that the client may use this grant for this \
                 audience"
            ),
            Self::Refused { status: 404 | 405, .. } | Self::NotAToken { .. } => format!(
                "check that {endpoint} is the token endpoint itself, as in the provider's \
                 /.well-known/openid-configuration"
            ),
            Self::Refused { .. } => "see the identity provider's log".to_owned(),
        };
        Some(hint)
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

    fn client(authentication: ClientAuthentication) -> TokenClient {
        let endpoint = Url::parse("https://idp.test/token").unwrap();
        let client = TokenClient::new(endpoint, Secret::from("client"), Secret::from("s3cr3t/+"));
        TokenClient { authentication, ..client }
    }

    #[test]
    fn hints_name_the_fields_as_their_users_know_them() {
        let names = FieldNames {
            endpoint: "the.endpoint",
            client_id: "the.id",
            client_secret: "the.secret",
            audiences: "the.audience",
        };
        let refused = |status, text: &str| OAuth2Error::Refused {
            endpoint: "https://idp.test/token".to_owned(),
            status,
            text: text.to_owned(),
        };
        let not_a_token = OAuth2Error::NotAToken {
            endpoint: "https://idp.test/token".to_owned(),
            status: 200,
            what: "with text/html".to_owned(),
        };
        let untrusted = OAuth2Error::Transport(TransportError::Untrusted(Untrusted::HostMismatch));
        let cases: [(OAuth2Error, &[&str]); 6] = [
            (refused(401, "invalid_client"), &["the.id", "the.secret", "the.audience"]),
            (refused(404, "not found"), &["the.endpoint"]),
            (refused(400, "Client sent an HTTP request to an HTTPS server."), &["the.endpoint", "https://"]),
            (refused(500, "it broke"), &[]),
            (not_a_token, &["the.endpoint"]),
            (untrusted, &["the.endpoint"]),
        ];
        for (error, named) in cases {
            let hint = error.hint(&names).unwrap();
            assert!(named.iter().all(|name| hint.contains(name)), "{error}: {hint}");
            assert!(!hint.contains("oauth2_"), "{hint}");
        }
    }

    /// The form of a request, decoded.
    fn form(client: &TokenClient) -> Vec<(String, String)> {
        let request = client.request().unwrap();
        form_urlencoded::parse(request.sent().as_bytes()).into_owned().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn each_grant_says_what_it_has_to() {
        let post = client(ClientAuthentication::Post);
        let expected =
            [("grant_type", "client_credentials"), ("client_id", "client"), ("client_secret", "s3cr3t/+")];
        assert_eq!(form(&post), expected.map(|(name, value)| pair(name, value)));
        let user = TokenClient {
            user: Some((Secret::from("me"), Secret::from("p&w"))),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            audiences: vec!["x".to_owned()],
            parameters: vec![("re source".to_owned(), Secret::from("r=1"))],
            ..client(ClientAuthentication::None)
        };
        let expected = [
            ("grant_type", "password"),
            ("username", "me"),
            ("password", "p&w"),
            ("audience", "x"),
            ("scope", "a b"),
            ("re source", "r=1"),
            ("client_id", "client"),
        ];
        assert_eq!(form(&user), expected.map(|(name, value)| pair(name, value)));
    }

    #[test]
    fn an_assertion_is_signed_with_the_secret_and_says_for_whom_it_is() {
        for (algorithm, name, hash) in [
            (JwtAlgorithm::Hs256, "HS256", hmac::HMAC_SHA256),
            (JwtAlgorithm::Hs512, "HS512", hmac::HMAC_SHA512),
        ] {
            let form = form(&client(ClientAuthentication::Jwt(algorithm)));
            assert!(!form.iter().any(|(name, _)| name == "client_secret"));
            let (_, assertion) = form.iter().find(|(name, _)| name == "client_assertion").unwrap();
            let (signed, signature) = assertion.rsplit_once('.').unwrap();
            let key = hmac::Key::new(hash, b"s3cr3t/+");
            hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            let part = |text: &str| -> serde_json::Value {
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
            };
            let (header, claims) = signed.split_once('.').unwrap();
            assert_eq!(part(header)["alg"], name);
            let claims = part(claims);
            assert_eq!(
                (&claims["iss"], &claims["aud"]),
                (&json!("client"), &json!("https://idp.test/token"))
            );
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
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
