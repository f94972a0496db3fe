//! HashiCorp Vault and OpenBao.
pub mod fields;
pub use fields::FIELDS;
