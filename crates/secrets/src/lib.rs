//! `{vault://...}` → value. Usable without the gateway.
//!
//! The way of a reference, and the module of each step:
//!
//! 1. [`mod@reference`]: text → [`Reference`], once, when a configuration is checked. [`template`] finds references
//!    inside longer texts (`Bearer {vault://a/b}`).
//! 2. [`resolve`]: the name finds a vault. Its [`settings`] (checked against the field list of its [`kind`], in
//!    [`field`]) are overlaid with the reference's options; references in the settings themselves are filled in.
//! 3. A session with that vault, shared by all that need the same one, reads the resource: [`backend`] has one file or
//!    folder for each kind, all behind the trait in [`vault`]. Those who want the same at the same time share one fetch.
//! 4. What goes over the network goes through the crate `postern_client`: trust, limits, and what may be told of a failure. A login by
//!    OAuth2 gets its token through [`oauth2`]; tokens are kept until shortly before they end.
//! 5. The key is picked from the JSON, base64 is decoded, and the result is a [`Secret`]: the only holder of plaintext.
//!
//! What lives on resolves through [`rotate`], which keeps [`slot`]s fresh by the rules of [`cache`], and through
//! [`snapshot`] may start with what an earlier run has kept.
//!
//! [`trail`] records these steps for whoever wants to see them.
//!
//! ```
//! use postern_client::Trust;
//! use postern_secrets::resolve::{Origin, Resolver};
//! use postern_secrets::{Kind, Reference, Settings, backend::env::Env, trail::Trail};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let env = Env::new([("DB".to_owned(), r#"{"user": "app", "pass": "s3cr3t"}"#.to_owned())]);
//! let resolver = Resolver::new(env, Trust::none())
//!     .with_vault("env", Ok(Settings::empty(Kind::Env)), Origin::new("an example"));
//! let reference = Reference::parse("{vault://env/db/pass}").unwrap();
//! let value = resolver.resolve(&reference, &Trail::off()).await.unwrap();
//! assert_eq!(value.expose(), "s3cr3t");
//! assert_eq!(format!("{value:?}"), "***");
//! # });
//! ```
//!
//! Without the feature `backends` there is no IO here, only what describes: the grammar, the field lists, the settings
//! and [`Secret`].

#[cfg(feature = "backends")]
pub mod backend;
pub mod backoff;
#[cfg(feature = "backends")]
pub mod bundle;
#[cfg(feature = "backends")]
pub mod cache;
pub mod clock;
pub mod field;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "backends")]
pub mod guard;
pub mod hashed;
#[cfg(feature = "backends")]
mod kept;
pub mod kind;
pub mod nearest;
#[cfg(feature = "backends")]
pub mod oauth2;
pub mod reference;
#[cfg(feature = "backends")]
pub mod resolve;
#[cfg(feature = "backends")]
pub mod rotate;
pub mod settings;
#[cfg(feature = "backends")]
pub mod slot;
#[cfg(feature = "backends")]
pub mod snapshot;
#[cfg(feature = "backends")]
mod subkey;
pub mod template;
#[cfg(feature = "backends")]
pub mod trail;
#[cfg(feature = "backends")]
pub mod vault;

pub use kind::{Kind, UnknownKind, reserved_prefixes};
#[cfg(feature = "backends")]
pub use postern_client::io_reason;
pub use postern_secret::Secret;
pub use reference::{OptionValue, Reference, ReferenceError, Version};
pub use settings::{FieldError, Settings};
pub use template::{Part, Template};
