//! Who may ask at all.
//!
//! Owns: tokens, and what protects against a browser that somebody else's page drives: names that were made to point
//! here (Host) and requests from other places (Origin). Must not know: what is asked for; whoever is admitted may do all.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use postern_secrets::Secret;
use postern_secrets::slot::Slot;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::audit::AuditLog;
use super::error::Refusal;
use super::listen::AdminListener;
use super::route::Peer;

/// Who may ask, and where.
#[derive(Clone, Debug, Default)]
pub struct AdminOptions {
    /// Where it listens.
    pub listeners: Vec<AdminListener>,
    /// One of them must be shown with every request. Without any, only the machine itself may ask, and whoever shows a
    /// certificate that a listener verifies.
    pub tokens: Vec<AdminToken>,
    /// Whether anybody may ask who reaches a listener.
    pub insecure: bool,
    /// Names by which it may be called, beside addresses and `localhost`; with a token any will do.
    pub hosts: Vec<String>,
    /// Origins of other pages that may call it: `https://manager.example`.
    pub origins: Vec<String>,
    /// Where it is told who did what.
    pub audit: AuditLog,
}

/// A token, and who has it.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// For the logs.
    pub name: String,
    /// What must be shown.
    pub value: TokenValue,
}

/// What a token is.
#[derive(Clone)]
pub enum TokenValue {
    /// Always the same.
    Fixed(Secret),
    /// What a vault says now. Nobody has it while there is no value.
    Slot(Arc<Slot>),
}

impl Debug for TokenValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl TokenValue {
    fn is(&self, shown: &[u8; 32]) -> bool {
        // Digests have one length, so that not even that of the token is told.
        let same =
            |text: &str| !text.is_empty() && verify_slices_are_equal(&Sha256::digest(text), shown).is_ok();
        match self {
            Self::Fixed(secret) => same(secret.expose()),
            Self::Slot(slot) => slot.with(|text| text.is_some_and(same)),
        }
    }
}

/// So many different wrong tokens of one peer, after which it has to wait. The same one again is nobody who guesses, but a
/// client that has not heard of a new token, and must not shut others out who come from the same address.
const WRONG_MAX: usize = 10;
/// For so long.
const WAIT: Duration = Duration::from_secs(60);
/// Peers that are remembered.
const PEERS_MAX: usize = 4096;

pub(crate) struct Guard {
    pub(crate) options: AdminOptions,
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
}

/// Digests of wrong tokens of a peer, and since when they are counted.
type Wrong = (Vec<[u8; 32]>, Instant);

impl Guard {
    pub(crate) fn new(options: AdminOptions) -> Self {
        Self { options, wrong: Mutex::default() }
    }

    /// Who it is, for logs; or why it may not be.
    pub(crate) fn admit(&self, parts: &Parts, peer: Option<&Peer>) -> Result<String, Refusal> {
        self.origin(parts)?;
        let address = peer.map(|peer| peer.address);
        if !self.options.tokens.is_empty() {
            return self.token(parts, address);
        }
        self.host(parts)?;
        match peer {
            Some(Peer { certificate: Some(subject), .. }) => Ok(format!("certificate {subject}")),
            Some(Peer { address, .. }) if address.to_canonical().is_loopback() => Ok(address.to_string()),
            peer if self.options.insecure => {
                Ok(peer.map_or_else(|| "unknown".to_owned(), |peer| peer.address.to_string()))
            }
            _ => Err(Refusal::Unauthorized),
        }
    }

    fn token(&self, parts: &Parts, address: Option<IpAddr>) -> Result<String, Refusal> {
        let peer = network(address);
        if let Some(wait) = self.must_wait(peer) {
            return Err(Refusal::Busy(StatusCode::TOO_MANY_REQUESTS, wait));
        }
        let shown = ["kong-admin-token", "admin-token"].iter().find_map(|name| parts.headers.get(*name));
        let Some(shown) = shown else { return Err(Refusal::Unauthorized) };
        let shown: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        // All of them, so that the time does not tell which was near.
        let found = self.options.tokens.iter().filter(|token| token.value.is(&shown)).collect::<Vec<_>>();
        match found.first() {
            Some(token) => Ok(format!("token {}", token.name)),
            None => {
                self.note_wrong(peer, shown);
                Err(Refusal::Unauthorized)
            }
        }
    }

    fn must_wait(&self, peer: IpAddr) -> Option<u64> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, since) = wrong.get(&peer)?;
        let left = WAIT.checked_sub(since.elapsed()).filter(|left| !left.is_zero())?;
        (tokens.len() >= WRONG_MAX).then(|| left.as_secs().max(1))
    }

    fn note_wrong(&self, peer: IpAddr, shown: [u8; 32]) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= PEERS_MAX {
            wrong.retain(|_, (_, since)| since.elapsed() < WAIT);
        }
        if wrong.len() >= PEERS_MAX && !wrong.contains_key(&peer) {
            return;
        }
        let now = Instant::now();
        let (tokens, since) = wrong.entry(peer).or_insert((Vec::new(), now));
        if since.elapsed() >= WAIT {
            (*tokens, *since) = (Vec::new(), now);
        }
        if !tokens.contains(&shown) {
            tokens.push(shown);
        }
    }

    /// A page that made its own name point here is known by that name, which its browser sends.
    fn host(&self, parts: &Parts) -> Result<(), Refusal> {
        const UNKNOWN: Refusal = Refusal::Forbidden("this Host is not one of the Admin API's");
        let host = host(parts).ok_or(UNKNOWN)?;
        let name = without_port(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name.eq_ignore_ascii_case("localhost");
        let is_listed = || self.options.hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_address || is_local || is_listed() { Ok(()) } else { Err(UNKNOWN) }
    }

    /// Browsers say which page a request comes from; other clients do not.
    fn origin(&self, parts: &Parts) -> Result<(), Refusal> {
        const FOREIGN: Refusal = Refusal::Forbidden("requests from this origin are not allowed");
        let mut origins = parts.headers.get_all(header::ORIGIN).iter();
        let (origin, more) = (origins.next(), origins.next());
        let Some(origin) = origin else {
            let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
            let is_foreign = matches!(site, Some(b"cross-site" | b"same-site"));
            return if is_foreign { Err(FOREIGN) } else { Ok(()) };
        };
        let origin = origin.to_str().ok().filter(|_| more.is_none()).ok_or(FOREIGN)?;
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let is_own = authority.is_some() && authority == host(parts);
        if is_own || self.is_listed(origin) { Ok(()) } else { Err(FOREIGN) }
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.options.origins.iter().any(|known| known == origin)
    }

    /// What a browser is told before it sends a request from a page that is listed.
    pub(crate) fn preflight(&self, parts: &Parts) -> Option<Response> {
        let asked = parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if parts.method != Method::OPTIONS || !asked || self.listed_origin(parts).is_none() {
            return None;
        }
        let headers = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, PUT, PATCH, POST, DELETE"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, If-Match, Kong-Admin-Token, Admin-Token"),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        Some((StatusCode::NO_CONTENT, headers).into_response())
    }

    /// Lets a page that is listed read the answer.
    pub(crate) fn share(&self, parts: &Parts, response: &mut Response) {
        let Some(origin) = self.listed_origin(parts) else { return };
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    }

    fn listed_origin<'a>(&self, parts: &'a Parts) -> Option<&'a HeaderValue> {
        let origin = parts.headers.get(header::ORIGIN)?;
        origin.to_str().is_ok_and(|origin| self.is_listed(origin)).then_some(origin)
    }
}

/// The one host that a request names.
fn host(parts: &Parts) -> Option<&str> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) => parts.uri.authority().map(http::uri::Authority::as_str),
        _ => None,
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => {
            // `::1` without brackets is no host; its last part is no port.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

/// Who counts as one peer: of IPv6, everybody has many addresses.
pub(super) fn network(address: Option<IpAddr>) -> IpAddr {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
        Some(address) => address,
        None => IpAddr::from([0, 0, 0, 0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/services");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn peer(address: &str) -> Peer {
        Peer { address: address.parse().unwrap(), certificate: None }
    }

    #[test]
    fn names_that_were_made_to_point_here() {
        let guard =
            Guard::new(AdminOptions { hosts: vec!["admin.example".to_owned()], ..Default::default() });
        let admitted = |host: &str| guard.admit(&parts(&[("host", host)]), Some(&peer("127.0.0.1"))).is_ok();
        for host in [
            "localhost",
            "LocalHost:8001",
            "127.0.0.1:8001",
            "[::1]:8001",
            "[::1]",
            "10.1.2.3",
            "Admin.Example:8001",
        ] {
            assert!(admitted(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a@localhost",
            "localhost:8001:1",
            "evil:x",
        ] {
            assert!(!admitted(host), "{host}");
        }
        assert!(guard.admit(&parts(&[]), Some(&peer("127.0.0.1"))).is_err());
        let two = parts(&[("host", "localhost"), ("host", "localhost")]);
        assert!(guard.admit(&two, Some(&peer("127.0.0.1"))).is_err());
    }

    #[test]
    fn pages_of_others() {
        let origins = vec!["https://manager.example".to_owned()];
        let guard = Guard::new(AdminOptions { origins, ..Default::default() });
        let admitted = |name: &str, value: &str| {
            guard.admit(&parts(&[("host", "localhost:8001"), (name, value)]), Some(&peer("::1"))).is_ok()
        };
        assert!(admitted("origin", "http://localhost:8001"));
        assert!(admitted("origin", "https://manager.example"));
        assert!(admitted("sec-fetch-site", "none") && admitted("sec-fetch-site", "same-origin"));
        for origin in [
            "null",
            "http://localhost:8002",
            "http://evil.example",
            "localhost:8001",
            "https://manager.example.evil",
        ] {
            assert!(!admitted("origin", origin), "{origin}");
        }
        assert!(!admitted("sec-fetch-site", "cross-site"));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens() {
        let tokens = vec![
            AdminToken { name: "ci".to_owned(), value: TokenValue::Fixed(Secret::from("right")) },
            AdminToken { name: "none".to_owned(), value: TokenValue::Fixed(Secret::from("")) },
        ];
        let guard = Guard::new(AdminOptions { tokens, ..Default::default() });
        let admit = |value: Option<&str>, address: &str| {
            let headers: Vec<_> = value.into_iter().map(|value| ("Kong-Admin-Token", value)).collect();
            guard.admit(&parts(&headers), Some(&peer(address)))
        };
        assert_eq!(admit(Some("right"), "10.0.0.1").unwrap(), "token ci");
        assert!(guard.admit(&parts(&[("admin-token", "right")]), None).is_ok());
        for value in [None, Some(""), Some("Right"), Some("right ")] {
            assert!(matches!(admit(value, "10.0.0.2"), Err(Refusal::Unauthorized)), "{value:?}");
        }
        // Whoever has not heard of a new token, however often, shuts nobody out.
        for _ in 0..10 * WRONG_MAX {
            assert!(matches!(admit(Some("old"), "2001:db8::1"), Err(Refusal::Unauthorized)));
        }
        assert!(admit(Some("right"), "2001:db8::2").is_ok());
        for number in 0..WRONG_MAX {
            let _ = admit(Some(&format!("wrong-{number}")), "2001:db8::1");
        }
        // Another address of the same network, and even the right token.
        assert!(matches!(admit(Some("right"), "2001:db8::2"), Err(Refusal::Busy(..))));
        assert!(admit(Some("right"), "10.0.0.1").is_ok());
        tokio::time::advance(WAIT).await;
        assert!(admit(Some("right"), "2001:db8::1").is_ok());
    }

    #[test]
    fn who_comes_from_afar_needs_something() {
        let guard = Guard::new(AdminOptions::default());
        let local = parts(&[("host", "10.0.0.1:8001")]);
        assert!(matches!(guard.admit(&local, Some(&peer("10.0.0.2"))), Err(Refusal::Unauthorized)));
        assert!(matches!(guard.admit(&local, None), Err(Refusal::Unauthorized)));
        let known = Peer { certificate: Some("CN=ci".to_owned()), ..peer("10.0.0.2") };
        assert_eq!(guard.admit(&local, Some(&known)).unwrap(), "certificate CN=ci");
    }
}
