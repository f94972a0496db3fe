//! (story to come)
pub mod backend;
pub mod field;
pub mod kind;
pub mod reference;
pub mod secret;
pub mod settings;
pub mod template;
pub use kind::{Kind, UnknownKind, reserved_prefixes};
pub use reference::{OptionValue, Reference, ReferenceError, Version};
pub use secret::Secret;
pub use settings::{FieldError, Settings};
pub use template::{Part, Template};
