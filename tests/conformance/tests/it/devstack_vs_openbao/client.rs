//! Sends the requests of the list, fills in what earlier replies gave, and mints tokens.

use super::script::Request;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use postern_conformance::DevStackInfo;
use rcgen::SigningKey as _;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

/// A status and a body; `Null` for none.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// One of the two servers, with what its replies gave.
pub(super) struct Target {
    addr: String,
    root_token: String,
    kept: BTreeMap<String, String>,
}

impl Target {
    pub(super) fn new(addr: &str, root_token: &str) -> Self {
        Self { addr: addr.to_owned(), root_token: root_token.to_owned(), kept: BTreeMap::new() }
    }

    pub(super) fn keep(&mut self, name: &str, value: &str) {
        self.kept.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn keep_from(&mut self, name: &str, pointer: &str, reply: &Reply) {
        let value = reply.body.pointer(pointer).and_then(Value::as_str);
        // Missing values show as a difference in the reply itself.
        self.keep(name, value.unwrap_or("missing"));
    }

    fn fill(&self, text: &str, escape: bool) -> String {
        self.kept.iter().fold(text.to_owned(), |text, (name, value)| {
            let quoted = Value::from(value.as_str()).to_string();
            let value = if escape { &quoted[1..quoted.len() - 1] } else { value };
            text.replace(&format!("{{{name}}}"), value)
        })
    }

    pub(super) async fn send(&self, request: &Request, minter: &Minter) -> Reply {
        let mut headers = Vec::new();
        match request.token.as_deref() {
            None => headers.push(("x-vault-token", self.root_token.clone())),
            Some("none") => {}
            Some("bad") => headers.push(("x-vault-token", "s.AAAAAAAAAAAAAAAAAAAAAAAA".to_owned())),
            Some(name) => headers.push(("x-vault-token", self.kept[name].clone())),
        }
        headers.extend(request.namespace.clone().map(|name| ("x-vault-namespace", name)));
        headers.extend(request.wrap_ttl.clone().map(|ttl| ("x-vault-wrap-ttl", ttl)));
        let kind =
            if request.method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        headers.push(("content-type", kind.to_owned()));
        let url = format!("{}/v1/{}", self.addr, self.fill(&request.path, false));
        let body = minter.mint_within(self.fill(&request.body, true));
        let mut reply = send(&request.method, &url, &headers, body).await;
        // Root tokens differ: the dev stack's is random, OpenBao's dev mode takes one.
        if let Some(id) = reply.body.pointer_mut("/data/id").filter(|id| **id == self.root_token.as_str()) {
            *id = "<root token>".into();
        }
        reply
    }

    /// One JSON request with the token that this target was made with.
    pub(super) async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("x-vault-token", self.root_token.clone())];
        let Reply { status, body } = send(method, &format!("{}/v1/{path}", self.addr), &headers, body).await;
        (status, body)
    }
}

async fn send(method: &str, url: &str, headers: &[(&str, String)], body: String) -> Reply {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(bytes::Bytes::from(body))).expect("a request");
    let reply = Client::builder(TokioExecutor::new()).build_http().request(request).await;
    let reply = reply.unwrap_or_else(|error| panic!("{method} {url}: {error:?}"));
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.expect("a whole body").to_bytes();
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    let body =
        if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or_else(|_| text()) };
    Reply { status, body }
}

/// A token of the dev stack's identity provider.
pub(super) async fn idp_token(info: &DevStackInfo, audience: &str) -> String {
    let body = json!({
        "grant_type": "client_credentials", "client_id": info.client_id, "client_secret": info.client_secret,
        "audience": audience,
    });
    let headers = [("content-type", "application/json".to_owned())];
    let reply = send("POST", &info.token_endpoint, &headers, body.to_string()).await;
    reply.body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {}", reply.body)).to_owned()
}

/// Makes the identity provider sign with a new key.
pub(super) async fn rotate_keys(issuer: &str) {
    let reply = send("POST", &format!("{issuer}dev/rotate-keys"), &[], String::new()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

/// Signs tokens with any claims.
pub(super) struct Minter(rcgen::KeyPair);

impl Minter {
    pub(super) fn new() -> Self {
        Self(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key"))
    }

    pub(super) fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// Replaces `{"mint": claims}` anywhere in a JSON object. Other bodies stay as they are.
    fn mint_within(&self, body: String) -> String {
        let Ok(Value::Object(mut members)) = serde_json::from_str(&body) else {
            return body;
        };
        for value in members.values_mut() {
            if let Some(claims) = value.get("mint") {
                *value = self.mint(claims.clone()).into();
            }
        }
        Value::from(members).to_string()
    }

    fn mint(&self, mut claims: Value) -> String {
        for value in claims.as_object_mut().expect("claims are an object").values_mut() {
            let offset = value.as_str().and_then(|text| text.strip_prefix("now"));
            if let Some(offset) = offset {
                let seconds: i64 = if offset.is_empty() { 0 } else { offset.parse().expect("now+seconds") };
                *value = (now() + seconds).into();
            }
        }
        let header = json!({"alg": "EdDSA", "typ": "JWT"});
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.0.sign(message.as_bytes()).expect("a signature");
        format!("{message}.{}", BASE64.encode(signature))
    }
}

#[expect(clippy::disallowed_methods, reason = "the servers judge the claims by wall time")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a time of this age")
}
