//! The one HTTP client: every request of the program's own goes through here: to vaults, identity providers, and the servers that
//! plugins call.
//!
//! Owns: TLS trust, time limits, size limits, and what of a failure may be told. Must not know: what is asked or
//! answered. A reply is a lie until checked: it is bounded in size and time, redirects are not followed (they would
//! carry credentials to another place), and its text is cleaned before it gets into an error.

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod io_reason;
pub mod trust;
mod verify;

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::time::timeout;
use url::Url;
use zeroize::Zeroizing;

use postern_secret::Secret;

pub use identity::{Identity, IdentityError};
pub use io_reason::io_reason;
pub use trust::{Trust, TrustError};
pub use verify::Untrusted;

/// Time to reach the other side, name lookup and TLS apart.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection is kept that nobody uses, unless told otherwise.
const IDLE: Duration = Duration::from_secs(60);
/// How much of an error's text is worth showing.
const MAX_SHOWN: usize = 512;
/// In seconds: whoever asks for a longer pause is asked again after this one.
const LONGEST_PAUSE: u64 = 3600;

/// Where the answers of vaults and identity providers hold what was asked for.
const ASKED_FOR: [&str; 6] = ["data", "auth", "wrap_info", "access_token", "refresh_token", "id_token"];

/// A pooled HTTP/1.1 client, over TLS where the URL says https.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: Limits,
}

/// What a client waits for at most. The defaults are those of vaults and identity providers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time for a whole exchange, from name lookup to the last byte of the answer: 10 seconds.
    pub exchange: Duration,
    /// Bytes of an answer's body: 8 MiB. Vaults limit a secret to 1 MiB by default; JSON may escape it to several times
    /// that.
    pub reply: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { exchange: Duration::from_secs(10), reply: 8 * 1024 * 1024 }
    }
}

/// How to be with the other side, where the defaults are not right.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Whether its certificate is checked; without, anyone may pose as it.
    pub verify: bool,
    /// Who this side is, for those who ask for a certificate in TLS.
    pub identity: Option<&'a Identity>,
    /// The name that its certificate must bear, in place of the URL's host.
    pub server_name: Option<String>,
    /// What is waited for.
    pub limits: Limits,
    /// For how long a connection is kept that nobody uses.
    pub idle: Duration,
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Self { verify: true, identity: None, server_name: None, limits: Limits::default(), idle: IDLE }
    }
}

/// A request to be sent.
#[derive(Debug)]
pub struct Outgoing {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Content,
    secrets: Vec<Secret>,
}

#[derive(Debug)]
enum Content {
    None,
    Secret(Secret),
    Plain(Bytes),
}

/// A reply, whole. The body is wiped when it is dropped.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The media type without parameters, in lower case; empty where there is none.
    pub media_type: String,
    /// For how long the other side asked not to be asked again: `Retry-After` in seconds, at most an hour.
    pub retry_after: Option<Duration>,
    /// Where a redirect points, if it is one.
    pub location: Option<String>,
    body: Zeroizing<Vec<u8>>,
    secrets: Vec<Secret>,
}

/// Why there is no reply. No text here comes from the other side.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The certificate chain is not trusted, or not for this host.
    #[error("{0}")]
    Untrusted(#[source] Untrusted),
    /// The other side does not speak TLS, or no version of it that we do.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] rustls::Error),
    /// No connection.
    #[error("cannot connect to {place}: {reason}")]
    Connect {
        /// Host and port.
        place: String,
        /// The operating system's or resolver's words.
        reason: String,
    },
    /// The connection broke off.
    #[error("the connection to {place} broke: {reason}")]
    Broken {
        /// Host and port.
        place: String,
        /// What happened.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {place} within {} seconds", .limit.as_secs())]
    Timeout {
        /// Host and port.
        place: String,
        /// The limit.
        limit: Duration,
    },
    /// The answer is larger than any answer should be.
    #[error("the answer from {place} is larger than {limit} bytes")]
    TooLarge {
        /// Host and port.
        place: String,
        /// The limit.
        limit: usize,
    },
    /// The request cannot be written as HTTP.
    #[error("{0}")]
    Request(String),
}

impl TransportError {
    /// What to do about it, for people.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Untrusted(untrusted) => return Some(untrusted.hint().to_owned()),
            Self::Tls(rustls::Error::AlertReceived(_)) => {
                "the other side broke off the TLS handshake: it may want a client certificate that it trusts \
                 (auth_method: cert), or another version of TLS"
            }
            Self::Tls(_) => "is this port TLS at all? If not, use http",
            Self::Connect { .. } => {
                "check that it runs, and that host and port are right and reachable from here"
            }
            Self::Broken { .. } | Self::Timeout { .. } => {
                "check that host and port are those of the right server, and its log"
            }
            Self::TooLarge { .. } => "check that this is the right server",
            Self::Request(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// TLS for connections that are no HTTP: the same trust, and errors that tell as much.
pub fn tls_config(trust: &Trust, verify: bool) -> rustls::ClientConfig {
    verify::client_config(trust, verify, None)
}

impl Client {
    /// A client that trusts what it is told to. With `verify` off, anyone may pose as the other side.
    pub fn new(trust: &Trust, verify: bool) -> Self {
        Self::on_terms(trust, Terms { verify, ..Terms::default() })
    }

    /// The same, and it shows a certificate to whoever asks for one in TLS.
    pub fn with_identity(trust: &Trust, verify: bool, identity: Option<&Identity>) -> Self {
        Self::on_terms(trust, Terms { verify, identity, ..Terms::default() })
    }

    /// The same on other terms.
    pub fn on_terms(trust: &Trust, terms: Terms<'_>) -> Self {
        let Terms { verify, identity, server_name, limits, idle } = terms;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(verify::client_config(trust, verify, identity))
            .https_or_http();
        let https = match server_name {
            Some(name) => https.with_server_name_resolver(move |_: &_| ServerName::try_from(name.clone())),
            None => https,
        };
        let https = https.enable_http1().wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .http1_max_buf_size(256 * 1024)
            .build(https);
        Self { pool, limits }
    }

    /// Sends a request and reads the reply, both within the limits.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Reply, TransportError> {
        let (place, limit) = (place(&outgoing.url), self.limits.exchange);
        let (method, path) = (outgoing.method.clone(), outgoing.url.path().to_owned());
        let exchange = timeout(limit, self.exchange(outgoing, &place)).await;
        let outcome =
            exchange.unwrap_or_else(|_| Err(TransportError::Timeout { place: place.clone(), limit }));
        match &outcome {
            Ok(reply) => tracing::debug!(%method, place, path, status = reply.status, "answered"),
            Err(error) => tracing::debug!(%method, place, path, %error, "not answered"),
        }
        outcome
    }

    async fn exchange(&self, outgoing: Outgoing, place: &str) -> Result<Reply, TransportError> {
        let Outgoing { method, url, headers, body, secrets } = outgoing;
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(all) = request.headers_mut() {
            all.insert(USER_AGENT, HeaderValue::from_static(concat!("postern/", env!("CARGO_PKG_VERSION"))));
            all.extend(headers);
        }
        let body = match body {
            Content::None => Bytes::new(),
            Content::Secret(body) => Bytes::from_owner(Wiped(body)),
            Content::Plain(body) => body,
        };
        let request = request
            .body(Full::new(body))
            .map_err(|error| TransportError::Request(format!("cannot ask {place}: {error}")))?;
        let response = self.pool.request(request).await.map_err(|error| classify(&error, place))?;

        let (head, body) = response.into_parts();
        let mut limited = Limited::new(body, self.limits.reply);
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(frame) = limited.frame().await {
            let frame = match frame.map_err(|error| error.downcast::<hyper::Error>()) {
                Ok(frame) => frame,
                // A server that refuses without reading the whole request resets the connection behind its answer, as
                // one with TLS does that is spoken to without: what has come of the reason is worth more than that.
                Err(Ok(_)) if !head.status.is_success() && !bytes.is_empty() => break,
                Err(Ok(error)) => {
                    let reason = reason(error.as_ref());
                    return Err(TransportError::Broken { place: place.to_owned(), reason });
                }
                Err(Err(_)) => {
                    return Err(TransportError::TooLarge {
                        place: place.to_owned(),
                        limit: self.limits.reply,
                    });
                }
            };
            if let Ok(data) = frame.into_data() {
                append_wiped(&mut bytes, &data);
            }
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let location =
            Some(text(LOCATION)).filter(|_| head.status.is_redirection()).map(|to| cleaned(to, &secrets));
        let retry_after = pause_of(text(RETRY_AFTER));
        Ok(Reply { status: head.status.as_u16(), media_type, retry_after, location, body: bytes, secrets })
    }
}

impl Outgoing {
    /// A request without headers or body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: Content::None, secrets: Vec::new() }
    }

    /// The same with a header whose value is a credential.
    pub fn secret_header(mut self, name: HeaderName, value: &Secret) -> Result<Self, TransportError> {
        let mut header = header_value(&name, value.expose())?;
        header.set_sensitive(true);
        self.headers.push((name, header));
        self.secrets.push(value.clone());
        Ok(self)
    }

    /// What the reply must not be shown to repeat.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// The body, where it is text.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub fn sent(&self) -> &str {
        match &self.body {
            Content::Secret(body) => body.expose(),
            Content::None | Content::Plain(_) => "",
        }
    }

    /// The same with an ordinary header.
    pub fn header(mut self, name: HeaderName, value: &str) -> Result<Self, TransportError> {
        let value = header_value(&name, value)?;
        self.headers.push((name, value));
        Ok(self)
    }

    /// The same with a body. `within` are the credentials in it: should the reply repeat them, they are blotted out
    /// of what is shown.
    #[must_use]
    pub fn body(mut self, media_type: &'static str, body: Zeroizing<String>, within: &[&Secret]) -> Self {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static(media_type)));
        self.body = Content::Secret(Secret::from(body));
        self.secrets.extend(within.iter().map(|secret| (*secret).clone()));
        self
    }

    /// The same with a body without credentials, which may be no text.
    #[must_use]
    pub fn payload(mut self, media_type: &'static str, body: Bytes) -> Self {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static(media_type)));
        self.body = Content::Plain(body);
        self
    }
}

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A reply as if it had come, to a request that held `secrets`.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub fn new(
        status: u16,
        media_type: &str,
        location: Option<&str>,
        body: &[u8],
        secrets: &[Secret],
    ) -> Self {
        Self {
            status,
            media_type: media_type.to_owned(),
            retry_after: None,
            location: location.map(|to| cleaned(to, secrets)),
            body: Zeroizing::new(body.to_vec()),
            secrets: secrets.to_vec(),
        }
    }

    /// The body; it may hold secrets.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as it may be shown in an error: JSON in its shortest form, shortened, without control characters,
    /// and without the secrets of the request. What was asked for is not shown, whatever the status says.
    pub fn shown(&self) -> String {
        // A proxy may turn 200 into 203; the body is the secret all the same.
        if self.is_success() && !self.body.is_empty() {
            return "(what it answered is not shown)".to_owned();
        }
        let json: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        match json {
            Some(mut json) => {
                for name in ASKED_FOR {
                    if let Some(member) = json.get_mut(name).filter(|member| !member.is_null()) {
                        *member = "***".into();
                    }
                }
                cleaned(&json.to_string(), &self.secrets)
            }
            None => cleaned(String::from_utf8_lossy(&self.body).trim(), &self.secrets),
        }
    }

    /// A text of the reply as it may be shown.
    pub fn cleaned(&self, text: &str) -> String {
        cleaned(text, &self.secrets)
    }
}

/// A body whose bytes are wiped when the connection is done with them.
struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

fn header_value(name: &HeaderName, value: &str) -> Result<HeaderValue, TransportError> {
    HeaderValue::from_str(value)
        .map_err(|_| TransportError::Request(format!("the value for {name} cannot stand in an HTTP header")))
}

/// What a `Retry-After` in seconds asks for. A date in it is as if it were not there: our own pauses apply then.
fn pause_of(retry_after: &str) -> Option<Duration> {
    let seconds: u64 = retry_after.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_PAUSE)))
}

/// Grows by hand: a growing `Vec` frees its old buffer without wiping it.
fn append_wiped(bytes: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    if bytes.capacity() < bytes.len() + data.len() {
        let mut larger =
            Zeroizing::new(Vec::with_capacity((bytes.len() + data.len()).max(bytes.capacity() * 2)));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(data);
}

/// Text from outside as it may be shown: no secret of ours, no control characters, not too long.
fn cleaned(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    let mut secrets: Vec<_> = secrets.iter().map(Secret::expose).filter(|secret| secret.len() >= 4).collect();
    // The longest first: of one that begins with another, the rest would stay.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        let json = serde_json::Value::from(secret).to_string();
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for spelling in [secret, &json[1..json.len() - 1], &form] {
            text = text.replace(spelling, "***");
        }
    }
    let mut shown: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SHOWN).collect();
    if shown.chars().count() < text.chars().count() {
        shown.push_str("...");
    }
    shown
}

fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// Finds what matters in a chain of causes.
fn classify(error: &PoolError, place: &str) -> TransportError {
    if let Some(tls) = tls_cause(error) {
        return match verify::reason(tls) {
            Some(untrusted) => TransportError::Untrusted(untrusted),
            None => TransportError::Tls(tls.clone()),
        };
    }
    let place = place.to_owned();
    if error.is_connect() {
        TransportError::Connect { place, reason: reason(error) }
    } else {
        TransportError::Broken { place, reason: reason(error) }
    }
}

/// What rustls says, wherever it is in the chain.
fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    // An I/O error's source is not the error that it holds, but that error's source.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => tls_cause(inner),
        None => tls_cause(error.source()?),
    }
}

/// The innermost cause, which is the one that says something.
fn reason(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(io) if io.raw_os_error().is_some() => io.kind().to_string(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_holds_no_secret_and_no_control_characters() {
        let secrets = [Secret::from("s3cr3t/+\"x"), Secret::from("ab")];
        let text = "you sent s3cr3t/+\"x or s3cr3t/+\\\"x or s3cr3t%2F%2B%22x\x1b[31m\nab";
        assert_eq!(cleaned(text, &secrets), "you sent *** or *** or *** [31m ab");
        assert_eq!(cleaned(&"x".repeat(600), &[]).len(), MAX_SHOWN + 3);
    }

    #[test]
    fn of_two_secrets_that_begin_alike_nothing_stays() {
        let secrets = [Secret::from("s3cr3t"), Secret::from("s3cr3t-and-more")];
        assert_eq!(cleaned("s3cr3t-and-more, s3cr3t", &secrets), "***, ***");
    }

    #[test]
    fn what_was_asked_for_is_not_shown() {
        let shown = |status, body: &str| Reply::new(status, "", None, body.as_bytes(), &[]).shown();
        assert_eq!(shown(203, r#"{"data":{"pass":"hunter2"}}"#), "(what it answered is not shown)");
        assert_eq!(shown(204, ""), "");
        assert_eq!(shown(500, r#"{"errors":["no"],"data":null}"#), r#"{"data":null,"errors":["no"]}"#);
        for name in ASKED_FOR {
            assert_eq!(shown(502, &format!(r#"{{"{name}":"hunter2"}}"#)), format!(r#"{{"{name}":"***"}}"#));
        }
    }

    #[test]
    fn the_pause_that_is_asked_for_is_at_most_an_hour() {
        let cases = [("3", Some(3)), (" 20 ", Some(20)), ("86400", Some(3600)), ("", None), ("-1", None)];
        for (header, seconds) in cases {
            assert_eq!(pause_of(header), seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    #[test]
    fn growing_keeps_the_bytes() {
        let mut bytes = Zeroizing::new(Vec::new());
        for chunk in 0..100_u8 {
            append_wiped(&mut bytes, &[chunk; 33]);
        }
        assert_eq!((bytes.len(), bytes[3299]), (3300, 99));
    }

    #[test]
    fn header_values_cannot_inject_headers() {
        let url = Url::parse("http://127.0.0.1/").unwrap();
        let name = HeaderName::from_static("x-vault-token");
        let error =
            Outgoing::new(Method::GET, url).secret_header(name, &Secret::from("a\r\nb: c")).unwrap_err();
        assert_eq!(error.to_string(), "the value for x-vault-token cannot stand in an HTTP header");
    }
}
