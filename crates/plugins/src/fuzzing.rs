//! Ways into what is private, for the fuzzer: nothing of it is there in a gateway.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use crate::bundled::hmac_auth::params::Params;
use crate::bundled::jwt::token::Token;
use crate::bundled::proxy_cache::control::Control;
use crate::bundled::proxy_cache::key::{Key, Parts};
use crate::bundled::{basic_auth, oauth2_introspection};
use crate::view::Request;

/// A token, taken apart and written again.
pub fn jwt(text: &str) -> Option<String> {
    let token = Token::read(text).ok()?;
    Some(format!("{}.{}", token.signed, URL_SAFE_NO_PAD.encode(token.signature)))
}

/// Who signed, by which algorithm, what, and the signature.
pub fn hmac(text: &str) -> Option<(&str, &str, Vec<&str>, Vec<u8>)> {
    let Params { username, algorithm, headers, signature } = Params::read(text)?;
    Some((username, algorithm, headers, signature))
}

/// The name and the password in a header.
pub fn basic(value: &HeaderValue) -> Option<(String, Vec<u8>)> {
    basic_auth::read(value).map(|shown| (shown.name, shown.password.to_vec()))
}

/// The token in a header.
pub fn bearer(value: &HeaderValue) -> Option<&str> {
    oauth2_introspection::bearer(value)
}

/// What a message says of its being stored: not at all, not without asking, not for others; and for how many seconds, in
/// general and in a shared cache. Each text is a line of its own.
pub fn cache_control(lines: &[&str]) -> ([bool; 3], [Option<u64>; 2]) {
    let mut control = Control::default();
    lines.iter().for_each(|line| control.read(line));
    ([control.no_store, control.no_cache, control.private], [control.max_age, control.s_maxage])
}

/// Under what a cache keeps the answer to `GET` of this target, where `x-vary` counts.
pub fn cache_key(target: &str, vary: &HeaderValue) -> Key {
    let mut request = Request::for_test().to(target);
    let name = http::HeaderName::from_static("x-vary");
    request.headers.insert(name.clone(), vary.clone());
    Parts { headers: vec![name], ..Parts::default() }.key(&request)
}
