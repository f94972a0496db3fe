//! The identity provider's signing keys: the current one, and the previous one for as long as it is published.
//!
//! Owns RSA keys and signatures. Must not know what is signed.

use crate::random;
use crate::wire::StartError;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

/// What is published, and the one key that signs.
pub(super) struct Keys {
    current: SigningKey,
    previous: Option<SigningKey>,
}

impl Keys {
    pub(super) async fn generate() -> Result<Self, StartError> {
        Ok(Self { current: SigningKey::generate().await?, previous: None })
    }

    pub(super) fn rotate(&mut self, fresh: SigningKey) {
        self.previous = Some(std::mem::replace(&mut self.current, fresh));
    }

    pub(super) fn current(&self) -> &SigningKey {
        &self.current
    }

    /// The JSON Web Key Set, the current key first.
    pub(super) fn jwks(&self) -> Value {
        let keys: Vec<Value> = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .map(SigningKey::jwk)
            .collect();
        json!({ "keys": keys })
    }
}

/// An RSA key of 2048 bits with its id.
pub(super) struct SigningKey {
    id: String,
    pair: KeyPair,
}

impl SigningKey {
    /// Takes a moment; runs aside, so that other requests go on.
    pub(super) async fn generate() -> Result<Self, StartError> {
        let generated = tokio::task::spawn_blocking(|| KeyPair::generate(KeySize::Rsa2048)).await;
        let pair = generated.map_err(|_| StartError::SigningKey)?.map_err(|_| StartError::SigningKey)?;
        Ok(Self { id: random::alphanumeric(21), pair })
    }

    /// `claims` as a JWT, RS256.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.id});
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
        Some(format!("{message}.{}", BASE64.encode(signature)))
    }

    fn jwk(&self) -> Value {
        let public = PublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": BASE64.encode(public.n), "e": BASE64.encode(public.e),
        })
    }
}
