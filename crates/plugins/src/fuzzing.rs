//! Ways into what is private, for the fuzzer: nothing of it is there in a gateway.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::bundled::hmac_auth::params::Params;
use crate::bundled::jwt::token::Token;

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
