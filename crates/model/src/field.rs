//! The vocabulary of a field: name, type, default, limits. An entity or a plugin is described by a list of these.
//!
//! Owns: what can be said of a field, and short ways to say it in a constant. Must not know: which fields exist
//! (`entity/` and the plugins say so), how a value is read (`decode`), how a list is shown (`schema`). One list drives
//! decoding, defaults, checks, `/schemas`, the editor's JSON Schema and the documentation.
//!
//! ```
//! use postern_model::field::Field;
//! const FIELDS: &[Field] = &[
//!     Field::strings("key_names").required().default_texts(&["apikey"]).doc("Where to look for a key."),
//!     Field::boolean("hide_credentials").required().default_bool(false).doc("Whether the upstream sees the key."),
//!     Field::string("realm").doc("What `WWW-Authenticate` says."),
//! ];
//! ```

use serde_json::{Map, Value as Json};

use crate::value::{Record, Value};

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name on the wire and in files.
    pub name: &'static str,
    /// What it takes.
    pub ty: Type,
    /// What it is when it is not given.
    pub default: Default,
    /// Whether null is refused.
    pub required: bool,
    /// What else a value must satisfy.
    pub rules: &'static [Rule],
    /// Whether no two entities may have the same value.
    pub unique: bool,
    /// Whether it is a credential: never shown.
    pub secret: bool,
    /// Whether the gateway gives it a value where the file gives none: identifiers, times.
    pub auto: bool,
    /// Why a value other than the default is refused; `None` where it works.
    pub unsupported: Option<&'static str>,
    /// Older names, which stand beside the outermost record: `redis_host` is one of `host` in `redis`.
    pub shorthands: &'static [&'static str],
    /// One sentence for people: meaning, unit, source of the rule.
    pub doc: &'static str,
}

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list whose order counts.
    Array(&'static Field),
    /// A list without repetition whose order does not count.
    Set(&'static Field),
    /// Names of one's own with values of one type.
    Map(&'static Field, &'static Field),
    /// A mapping with fields of its own.
    Record(&'static [Field]),
    /// Another entity, by its collection.
    Foreign(&'static str),
    /// Anything.
    Any,
}

/// A default, as a constant.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// Null.
    None,
    /// For [`Type::String`].
    Text(&'static str),
    /// For [`Type::Integer`].
    Integer(i64),
    /// For [`Type::Number`].
    Number(f64),
    /// For [`Type::Boolean`].
    Boolean(bool),
    /// For lists of text.
    Texts(&'static [&'static str]),
    /// For lists of whole numbers.
    Integers(&'static [i64]),
    /// An empty list or map.
    Empty,
    /// A record of its own fields' defaults, also where it was not given. Implied by `required` on a record.
    Fields,
}

/// What a value must satisfy besides its type.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A number from the first to the second, both included.
    Between(f64, f64),
    /// A number above this one.
    Above(f64),
    /// A text or list with at least so many characters or items.
    LengthMin(usize),
    /// A text or list with at most so many characters or items.
    LengthMax(usize),
    /// One of these whole numbers.
    OneOfIntegers(&'static [i64]),
    /// A text that begins with this one.
    StartsWith(&'static str),
    /// A UUID with dashes.
    Uuid,
    /// Whatever the function says; it returns what is wrong, in Kong's words where it has some. It must not repeat
    /// the value of a field that is `secret`.
    Custom(fn(&Value) -> Result<(), String>),
}

/// What several fields of a record must satisfy together.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// At least one of them is not null (and no empty list).
    AtLeastOneOf(&'static [&'static str]),
    /// Exactly one of them is not null.
    OnlyOneOf(&'static [&'static str]),
    /// All or none.
    AllOrNone(&'static [&'static str]),
    /// Whatever the function says of the whole record: the field that is to blame, and what is wrong with it. A field
    /// of an inner record is named by its way: `redis.host`. It is not asked while one of the record's own fields holds
    /// a reference; those of inner records may.
    Custom(fn(&Record) -> Result<(), (&'static str, String)>),
}

/// All that is to be said of an entity, or of the `config` of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The fields, in the order in which they are shown.
    pub fields: &'static [Field],
    /// What several fields must satisfy together.
    pub checks: &'static [Check],
}

/// What is to be said of a plugin before any is configured.
#[derive(Clone, Copy, Debug)]
pub struct PluginSchema {
    /// Its name in files: `key-auth`.
    pub name: &'static str,
    /// Higher runs first, as in Kong.
    pub priority: i32,
    /// The version that `/` tells.
    pub version: &'static str,
    /// For which protocols it may run; also the default of its `protocols`.
    pub protocols: &'static [&'static str],
    /// To what it may not be bound: some of `service`, `route`, `consumer`, `consumer_group`.
    pub not_bound_to: &'static [&'static str],
    /// Its `config`.
    pub config: Schema,
    /// One sentence for people.
    pub doc: &'static str,
}

impl PluginSchema {
    /// Puts beside the newer names of a whole `config` every older one, with the same value: Kong answers so, and files
    /// that have the older names are then no different from what is kept.
    pub fn add_older_names(&self, config: &mut Map<String, Json>) {
        crate::decode::with_older_names(config, self.config.fields);
    }
}

/// The protocols of plugins that work on HTTP.
pub const HTTP_PROTOCOLS: &[&str] = &["grpc", "grpcs", "http", "https"];
/// The same, and WebSocket.
pub const HTTP_AND_WS_PROTOCOLS: &[&str] = &["grpc", "grpcs", "http", "https", "ws", "wss"];

/// Whom [`crate::check()`] asks what plugins there are.
pub trait Plugins {
    /// What is to be said of the plugin of this name.
    fn schema(&self, name: &str) -> Option<&'static PluginSchema>;
    /// Every name, sorted.
    fn names(&self) -> Vec<&'static str>;
}

/// A few plugins, for tests and tools.
impl Plugins for Vec<&'static PluginSchema> {
    fn schema(&self, name: &str) -> Option<&'static PluginSchema> {
        self.iter().copied().find(|schema| schema.name == name)
    }

    fn names(&self) -> Vec<&'static str> {
        self.iter().map(|schema| schema.name).collect()
    }
}

/// A text, as an element of lists and maps.
pub const TEXT: Field = Field::string("");
/// A whole number, as an element of lists and maps.
pub const INTEGER: Field = Field::integer("");

impl Field {
    /// A field of any type; the others are shorter.
    pub const fn new(name: &'static str, ty: Type) -> Self {
        Self {
            name,
            ty,
            default: Default::None,
            required: false,
            rules: &[],
            unique: false,
            secret: false,
            auto: false,
            unsupported: None,
            shorthands: &[],
            doc: "",
        }
    }

    /// Text.
    pub const fn string(name: &'static str) -> Self {
        Self::new(name, Type::String)
    }

    /// A whole number.
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, Type::Integer)
    }

    /// A number.
    pub const fn number(name: &'static str) -> Self {
        Self::new(name, Type::Number)
    }

    /// `true` or `false`.
    pub const fn boolean(name: &'static str) -> Self {
        Self::new(name, Type::Boolean)
    }

    /// A list of text whose order counts.
    pub const fn strings(name: &'static str) -> Self {
        Self::new(name, Type::Array(&TEXT))
    }

    /// A list whose order counts.
    pub const fn array(name: &'static str, element: &'static Self) -> Self {
        Self::new(name, Type::Array(element))
    }

    /// A list without repetition.
    pub const fn set(name: &'static str, element: &'static Self) -> Self {
        Self::new(name, Type::Set(element))
    }

    /// Names of one's own with values of one type.
    pub const fn map(name: &'static str, keys: &'static Self, values: &'static Self) -> Self {
        Self::new(name, Type::Map(keys, values))
    }

    /// A mapping with fields of its own.
    pub const fn record(name: &'static str, fields: &'static [Self]) -> Self {
        Self::new(name, Type::Record(fields))
    }

    /// Another entity.
    pub const fn foreign(name: &'static str, collection: &'static str) -> Self {
        Self::new(name, Type::Foreign(collection))
    }

    /// The same, but null is refused.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same, with rules.
    #[must_use]
    pub const fn rules(self, rules: &'static [Rule]) -> Self {
        Self { rules, ..self }
    }

    /// The same, with a default.
    #[must_use]
    pub const fn default(self, default: Default) -> Self {
        Self { default, ..self }
    }

    /// The same, with a text as its default.
    #[must_use]
    pub const fn default_text(self, text: &'static str) -> Self {
        self.default(Default::Text(text))
    }

    /// The same, with a whole number as its default.
    #[must_use]
    pub const fn default_int(self, number: i64) -> Self {
        self.default(Default::Integer(number))
    }

    /// The same, with a truth as its default.
    #[must_use]
    pub const fn default_bool(self, truth: bool) -> Self {
        self.default(Default::Boolean(truth))
    }

    /// The same, with a list of text as its default.
    #[must_use]
    pub const fn default_texts(self, texts: &'static [&'static str]) -> Self {
        self.default(Default::Texts(texts))
    }

    /// The same, with an empty list or map as its default.
    #[must_use]
    pub const fn default_empty(self) -> Self {
        self.default(Default::Empty)
    }

    /// The same; no two entities may share a value.
    #[must_use]
    pub const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// The same, as a credential.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The same; the gateway gives it a value where the file gives none.
    #[must_use]
    pub const fn auto(self) -> Self {
        Self { auto: true, ..self }
    }

    /// The same, but a value other than the default is refused, for this reason.
    #[must_use]
    pub const fn unsupported(self, reason: &'static str) -> Self {
        Self { unsupported: Some(reason), ..self }
    }

    /// The same, known by older names too.
    #[must_use]
    pub const fn shorthands(self, names: &'static [&'static str]) -> Self {
        Self { shorthands: names, ..self }
    }

    /// The same, described.
    #[must_use]
    pub const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }
}
