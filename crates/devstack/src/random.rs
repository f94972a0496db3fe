//! Unguessable texts: tokens, client secrets, unseal keys, ids. Knows nothing of what they are used for.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// `N` bytes from the operating system's generator.
fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    if aws_lc_rs::rand::fill(&mut out).is_err() {
        // The operating system gives no randomness: nothing here can be made unguessable any more.
        panic!("the operating system's random generator failed");
    }
    out
}

/// A text of `length` characters out of `a-zA-Z0-9`.
pub(crate) fn alphanumeric(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let part = URL_SAFE_NO_PAD.encode(bytes::<32>());
        text.extend(part.chars().filter(char::is_ascii_alphanumeric).take(length - text.len()));
    }
    text
}

/// 32 bytes in base64: the form of an unseal key.
pub(crate) fn key() -> String {
    STANDARD.encode(bytes::<32>())
}

/// A random UUID.
pub(crate) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
