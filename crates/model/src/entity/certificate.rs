//! Certificates, the server names they are shown for, and the authorities that are trusted.

use serde::Deserialize;

use super::Foreign;
use crate::value::Text;

/// A certificate chain with its key, and perhaps a second pair of another kind of key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Certificate {
    pub cert: Text,
    pub key: Text,
    pub cert_alt: Option<Text>,
    pub key_alt: Option<Text>,
}

/// A server name, perhaps with a `*` at one end.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct Sni {
    pub name: Text,
    pub certificate: Foreign,
}

/// An authority that may be trusted.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Kong's names; the field list says what each means")]
pub struct CaCertificate {
    pub cert: Text,
    pub cert_digest: Option<Text>,
}
