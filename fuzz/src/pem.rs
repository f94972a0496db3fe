//! Certificates and keys in PEM. Owns: that no text is trusted that was not meant to be, and that the forms of one text
//! mean the same. Must not know: PEM or DER.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_client::Identity;
use postern_client::fuzzing::{judge, trust_text};
use postern_secrets::Secret;

use crate::CANARY_WORD;

/// A CA, whose key nobody has.
const CA: &str = include_str!("pem/ca.pem");
/// A server's certificate of that CA.
const LEAF: &str = include_str!("pem/leaf.pem");
/// Another one, of an intermediate CA that only some seeds hold.
const BELOW: &str = include_str!("pem/below.pem");
const HOST: &str = "vault.test";
/// In 2033; both certificates are valid for a century.
const NOW: u64 = 2_000_000_000;

/// PEM text, or DER: as trusted certificates, as a client's identity, and as a chain that a server shows.
pub fn pem(data: &[u8]) {
    let leaf = certificates(LEAF);
    // As the one certificate of a server, and between the server's and its CA's.
    trusted_only_if_genuine(&[data.to_vec()], &leaf);
    trusted_only_if_genuine(&[leaf[0].clone(), data.to_vec()], &leaf);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = text.trim();

    let direct = trust_text(text);
    if text.starts_with("-----BEGIN") {
        let encoded = trust_text(&STANDARD.encode(text)).expect("base64 of PEM is known as such");
        let direct = direct.as_ref().expect("PEM is known as such");
        assert_eq!(direct.as_ref().ok(), encoded.as_ref().ok(), "text and its base64 differ");
    }
    if let Some(Err(error)) = &direct {
        no_canary(&format!("{error} {error:?}"));
    }
    if let Some(Ok(chain)) = direct {
        assert!(!chain.is_empty(), "no certificate, and no error");
        trusted_only_if_genuine(&chain, &leaf);
        let _ = judge(text, &chain, HOST, NOW);
        let _ = judge(text, &leaf, HOST, NOW);
    }

    let secret = Secret::from(text);
    match Identity::from_pem(&secret, &secret) {
        Ok(identity) => assert_eq!(format!("{identity:?}"), "Identity(***)"),
        Err(error) => no_canary(&format!("{error} {error:?}")),
    }
}

fn certificates(pem: &str) -> Vec<Vec<u8>> {
    trust_text(pem).and_then(Result::ok).unwrap_or_default()
}

/// Nobody can sign for the CA, so what is trusted for its sake is what it has signed.
fn trusted_only_if_genuine(chain: &[Vec<u8>], leaf: &[Vec<u8>]) {
    match judge(CA, chain, HOST, NOW) {
        Ok(()) => {
            let genuine = chain[0] == leaf[0] || chain[..1] == certificates(BELOW);
            assert!(genuine, "a chain is trusted that the CA has not signed");
        }
        Err(why) => {
            assert_ne!(chain[0], leaf[0], "a genuine certificate is refused: {why}");
            no_canary(&format!("{why} {why:?}"));
        }
    }
}

fn no_canary(said: &str) {
    assert!(!said.contains(CANARY_WORD), "the text is quoted: {said}");
}
