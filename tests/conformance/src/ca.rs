//! Certificates for TLS tests: authorities, chains, and every way in which a server certificate can be wrong.
//!
//! All in memory and PEM; what trusts what is for the test to say.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, date_time_ymd,
};

/// A certificate authority: a root, or an intermediate made by [`Ca::intermediate`].
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// Certificates between an issued one and the root, nearest first, as PEM.
    chain: Vec<String>,
    root_pem: String,
}

/// A certificate of a server or a client, and its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM: the certificate alone.
    pub cert: String,
    /// PEM: its private key.
    pub key: String,
    /// PEM: the certificate and the intermediates, without the root, as they should be sent.
    pub chain: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// 2020 to 2090.
    Now,
    /// Ended in 2021.
    Expired,
    /// Begins in 2089.
    NotYet,
}

impl Ca {
    /// A self-signed root whose common name is `name`.
    pub fn new(name: &str) -> Self {
        let (params, key) = (authority(name), new_key());
        let pem = params.self_signed(&key).expect("a root certificate").pem();
        Self { issuer: Issuer::new(params, key), root_pem: pem.clone(), pem, chain: Vec::new() }
    }

    /// An authority signed by this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (authority(name), new_key());
        let pem = params.signed_by(&key, &self.issuer).expect("an intermediate certificate").pem();
        let mut chain = vec![pem.clone()];
        chain.extend(self.chain.iter().cloned());
        Self { issuer: Issuer::new(params, key), root_pem: self.root_pem.clone(), pem, chain }
    }

    /// This authority's own certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate of the root above, as PEM; for a root, its own.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// A server certificate that is valid now for these DNS names and IP addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, Validity::Now)
    }

    /// A client certificate that is valid now, with this common name.
    pub fn issue_client(&self, name: &str) -> Issued {
        let mut params = server(&[name], Validity::Now);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A server certificate for these names with a chosen validity.
    pub fn issue_with(&self, names: &[&str], validity: Validity) -> Issued {
        self.sign(server(names, validity))
    }

    /// A server certificate whose key is an RSA key, as old clients need it.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn issue_rsa(&self, names: &[&str]) -> Issued {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a new RSA key pair");
        self.sign_key(&server(names, Validity::Now), &key)
    }

    fn sign(&self, params: CertificateParams) -> Issued {
        self.sign_key(&params, &new_key())
    }

    fn sign_key(&self, params: &CertificateParams, key: &KeyPair) -> Issued {
        let cert = params.signed_by(key, &self.issuer).expect("a certificate").pem();
        let chain = [&cert].into_iter().chain(&self.chain).cloned().collect();
        Issued { cert, key: key.serialize_pem(), chain }
    }
}

/// A server certificate that signed itself, as `openssl req -x509` makes them (with `CA:TRUE`) or as stricter
/// tools do (`CA:FALSE`). OpenSSL calls both 18.
pub fn self_signed(names: &[&str], ca: bool) -> Issued {
    let (mut params, key) = (server(names, Validity::Now), new_key());
    params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    let cert = params.self_signed(&key).expect("a self-signed certificate").pem();
    Issued { chain: cert.clone(), cert, key: key.serialize_pem() }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name, &[], Validity::Now);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server(names: &[&str], validity: Validity) -> CertificateParams {
    let mut params = named(names.first().copied().unwrap_or("server"), names, validity);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn named(common_name: &str, names: &[&str], validity: Validity) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names that a certificate can carry");
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = match validity {
        Validity::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1)),
        Validity::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        Validity::NotYet => (date_time_ymd(2089, 1, 1), date_time_ymd(2090, 1, 1)),
    };
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a new key pair")
}
