//! (story to come)
#[cfg(feature = "backends")]
pub mod backend;
#[cfg(feature = "backends")]
pub mod client;
pub mod field;
#[cfg(feature = "backends")]
mod kept;
pub mod kind;
#[cfg(feature = "backends")]
pub mod oauth2;
pub mod reference;
#[cfg(feature = "backends")]
pub mod resolve;
pub mod secret;
pub mod settings;
#[cfg(feature = "backends")]
mod subkey;
pub mod template;
#[cfg(feature = "backends")]
pub mod trail;
#[cfg(feature = "backends")]
pub mod vault;
pub use kind::{Kind, UnknownKind, reserved_prefixes};
pub use reference::{OptionValue, Reference, ReferenceError, Version};
pub use secret::Secret;
pub use settings::{FieldError, Settings};
pub use template::{Part, Template};
