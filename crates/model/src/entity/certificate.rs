//! Certificates, the server names they are shown for, and the authorities that are trusted.

use serde::Deserialize;

use super::definition::{CREATED_AT, Definition, ID, MAY_LACK, TAGS, UPDATED_AT};
use super::{Foreign, rule};
use crate::field::{Check, Field, Rule, Schema};
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

/// Certificates with their keys.
pub(crate) static CERTIFICATES: Definition = Definition {
    identity: &["cert"],
    known_by: &[&["cert", "key"]],
    ..Definition::top("certificate", "certificates", CERTIFICATE)
};

/// Server names.
pub(crate) static SNIS: Definition = Definition {
    endpoint_key: Some("name"),
    path_key: Some("name"),
    inside_only: true,
    ..Definition::top("sni", "snis", SNI)
};

/// Authorities.
pub(crate) static CA_CERTIFICATES: Definition = Definition {
    identity: &["cert"],
    derived: &["cert_digest"],
    known_by: &[&["cert"]],
    absent: MAY_LACK,
    ..Definition::top("ca-certificate", "ca_certificates", CA_CERTIFICATE)
};

/// The fields and checks of a certificate.
pub const CERTIFICATE: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::string("cert").required().rules(CERT).doc("The chain as PEM: the server's certificate first."),
        Field::string("key").required().secret().rules(KEY).doc("The private key as PEM."),
        Field::string("cert_alt").rules(CERT).doc("A second chain, for another kind of key."),
        Field::string("key_alt").secret().rules(KEY).doc("The key of the second chain."),
        TAGS,
    ],
    checks: &[Check::AllOrNone(&["cert_alt", "key_alt"])],
};

/// The fields of a server name.
pub const SNI: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::string("name")
            .required()
            .unique()
            .rules(&[Rule::Custom(rule::server_name)])
            .doc("The server name, perhaps with a `*` as its first or last label."),
        TAGS,
        Field::foreign("certificate", "certificates").required().doc("What is shown for it."),
    ],
    checks: &[],
};

/// The fields of an authority.
pub const CA_CERTIFICATE: Schema = Schema {
    fields: &[
        ID,
        CREATED_AT,
        UPDATED_AT,
        Field::string("cert")
            .required()
            .rules(&[Rule::Custom(rule::one_certificate)])
            .doc("The authority's certificate as PEM."),
        Field::string("cert_digest").unique().doc("The SHA-256 of the certificate in hexadecimal digits."),
        TAGS,
    ],
    checks: &[],
};

const CERT: &[Rule] = &[Rule::Custom(rule::certificate)];
const KEY: &[Rule] = &[Rule::Custom(rule::private_key)];
