//! What can be configured, as pure data: a kong.yaml as bytes goes in, checked entities come out, or every
//! violation with its path and line. No IO, no async, no HTTP, and no look at the process environment.
//!
//! The modules, in the order in which the data flows:
//!
//! 1. [`document`] reads the bytes as written:
//!    `text` (size, UTF-8) → `deck_env` (`${{ env "DECK_X" }}`, as text) → `yaml` (events → a tree of
//!    [`document::Node`]s, each with its line and column) → `root` (which form, which top-level lists).
//! 2. [`mod@check`] turns the [`Document`] into [`Checked`]: every `{vault://...}` in the file, vaults, then all other
//!    entities, wherever they are nested, by the field lists in [`entity`], one file an entity. `decode` reads a
//!    mapping by such a list of [`field`]s into a [`Record`] of [`value`]s.
//! 3. [`snapshot`] is what comes out: typed entities that refer to each other by identifiers.
//! 4. [`violation`] is what all of them say when something is wrong. They say all of it, not only the first.
//!
//! Entities that come one by one, as JSON, take the second half of the same way: a [`Kind`] checks each, and
//! [`check::rows()`] makes a [`Snapshot`] of all.
//!
//! And [`schema`] shows the field lists to others: to clients of `/schemas`, and to editors.
//!
//! Two rules hold throughout. A position points at the file *as written*, also where `${{ }}` has moved lines.
//! And a text that came out of the environment is never quoted in a message.
//!
//! ```
//! let yaml = br#"
//! _format_version: "3.0"
//! vaults:
//!   - { name: env, prefix: my-env, config: { prefix: "${{ env "DECK_PREFIX" }}" } }
//! "#;
//! let env = |name: &str| (name == "DECK_PREFIX").then(|| "APP_".to_owned());
//! let document = postern_model::read(yaml, &env).unwrap();
//! let no_plugins = Vec::new();
//! let checked = postern_model::check(document, &no_plugins).unwrap();
//! assert_eq!(checked.snapshot.vaults[0].prefix, "my-env");
//! ```

pub mod check;
mod decode;
pub mod document;
pub mod entity;
pub mod field;
#[cfg(any(test, feature = "generated"))]
#[doc(hidden)]
pub mod generated;
pub mod kind;
mod path;
pub mod schema;
pub mod snapshot;
pub mod value;
pub mod violation;

pub use check::{Checked, check};
pub use document::{Document, read};
pub use entity::vault::VaultEntity;
pub use kind::Kind;
pub use snapshot::{Broken, Entry, List, Part, Remains, Snapshot};
pub use value::{Record, Text, Value};
pub use violation::{Position, Severity, Violation};
