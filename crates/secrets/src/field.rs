//! The vocabulary of a vault's fields: name, type, default, limits.
//!
//! Owns: what can be said of a field, how one value is checked against it, and (below, a file each) what every kind
//! of vault can be configured with. Must not know: where values come from or what they do. One list drives decoding,
//! defaults, checks and documentation.

pub mod env;
pub mod fs;
pub mod hcv;

use url::Url;

use postern_secret::Secret;

/// One field of a vault's configuration.
#[derive(Debug)]
pub struct Field {
    /// The name in kong.yaml; `vault_<kind>_<name>` in kong.conf.
    pub name: &'static str,
    /// Other spellings that mean the same; giving two that differ is an error.
    pub aliases: &'static [&'static str],
    /// What kind of value it takes.
    pub ty: Type,
    /// The value when none is given.
    pub default: Option<Default>,
    /// Whether the vault refuses to work without it, whatever the other fields say.
    pub required: bool,
    /// What else its value must satisfy.
    pub rule: Rule,
    /// Who may see and override it.
    pub exposure: Exposure,
    /// One sentence for people: meaning, unit, source of the rule.
    pub doc: &'static str,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Several texts: a list, or one text with commas.
    Strings,
}

/// A default, as a constant.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// For [`Type::String`].
    Text(&'static str),
    /// For [`Type::Integer`].
    Integer(i64),
    /// For [`Type::Boolean`].
    Boolean(bool),
}

/// What a value must satisfy besides its type.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Nothing.
    Any,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A number from the first to the second, both included.
    Between(f64, f64),
    /// A text that is not only blanks.
    NotBlank,
    /// An absolute http or https URL with a host.
    Url,
    /// A text for which the function holds; the text is the same rule as a regular expression.
    Matches(&'static str, fn(&str) -> bool),
}

/// Who may see a field's value, and whether a reference may override it by a query option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// May be shown, and overridden by `?field=value`.
    Open,
    /// May be shown. Cannot be overridden: whoever writes a reference could send the vault's credentials to a
    /// place of his own, or read outside the vault's directory.
    Fixed,
    /// A credential: never shown, and never taken from a reference's text, which is logged.
    Secret,
}

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// Of [`Type::String`]. Kept as a secret whatever the field, so that no `Debug` shows it.
    Text(Secret),
    /// Of [`Type::Integer`].
    Integer(i64),
    /// Of [`Type::Number`].
    Number(f64),
    /// Of [`Type::Boolean`].
    Boolean(bool),
    /// Of [`Type::Strings`].
    Texts(Vec<Secret>),
}

impl Field {
    /// The names under which the field may be given.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether the field only says how long a value may be used, or how it is decoded: it changes no request.
    pub fn is_policy(&self) -> bool {
        matches!(self.name, "ttl" | "neg_ttl" | "resurrect_ttl" | "base64_decode")
    }

    /// The default as a value.
    pub fn default_setting(&self) -> Option<Setting> {
        self.default.map(|default| match default {
            Default::Text(text) => Setting::Text(Secret::from(text)),
            Default::Integer(number) => Setting::Integer(number),
            Default::Boolean(truth) => Setting::Boolean(truth),
        })
    }

    /// A text, from kong.conf, a query option or a resolved reference, as the field's type. The error is in
    /// Kong's words and never holds the value of a secret field.
    pub fn infer(&self, text: &Secret) -> Result<Setting, String> {
        let plain = text.expose().trim();
        let setting = match self.ty {
            Type::String => Setting::Text(text.clone()),
            Type::Integer => Setting::Integer(plain.parse().map_err(|_| self.expected())?),
            Type::Number => Setting::Number(plain.parse().map_err(|_| self.expected())?),
            Type::Boolean => match plain {
                "true" | "on" | "yes" => Setting::Boolean(true),
                "false" | "off" | "no" => Setting::Boolean(false),
                _ => return Err(self.expected()),
            },
            Type::Strings => Setting::Texts(
                plain.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Secret::from).collect(),
            ),
        };
        self.obeys(setting)
    }

    /// Checks the rule of a value that has the right type already.
    pub fn obeys(&self, setting: Setting) -> Result<Setting, String> {
        let holds = match (&setting, self.rule) {
            (_, Rule::Any) => true,
            (Setting::Text(text), Rule::OneOf(words)) => words.contains(&text.expose()),
            (Setting::Text(text), Rule::NotBlank) => !text.expose().trim().is_empty(),
            (Setting::Text(text), Rule::Url) => is_http_url(text.expose()),
            (Setting::Text(text), Rule::Matches(_, test)) => test(text.expose()),
            #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
            (Setting::Integer(number), Rule::Between(low, high)) => (low..=high).contains(&(*number as f64)),
            (Setting::Number(number), Rule::Between(low, high)) => (low..=high).contains(number),
            _ => true,
        };
        if holds { Ok(setting) } else { Err(self.broken(&setting)) }
    }

    /// What is wrong with a value of another type.
    pub fn expected(&self) -> String {
        let expected = match self.ty {
            Type::String => "expected a string",
            Type::Integer => "expected an integer",
            Type::Number => "expected a number",
            Type::Boolean => "expected a boolean",
            Type::Strings => "expected a string with commas, or a list of strings",
        };
        expected.to_owned()
    }

    fn broken(&self, setting: &Setting) -> String {
        let shown = match (setting, self.exposure) {
            (Setting::Text(text), Exposure::Open | Exposure::Fixed) => text.expose(),
            _ => "***",
        };
        match self.rule {
            Rule::OneOf(words) => format!("expected one of: {}", words.join(", ")),
            Rule::Between(low, high) => format!("value should be between {low} and {high}"),
            Rule::NotBlank => "must not be blank".to_owned(),
            Rule::Url => "must be an absolute http or https URL".to_owned(),
            Rule::Matches(..) | Rule::Any => format!("invalid value: {shown}"),
        }
    }
}

fn is_http_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The longest time that Kong lets a `*_ttl` have, in seconds (about three years).
const MAX_TTL: f64 = 1e8;

/// A plain optional text; the other field lists start from it.
const TEXT: Field = Field {
    name: "",
    aliases: &[],
    ty: Type::String,
    default: None,
    required: false,
    rule: Rule::Any,
    exposure: Exposure::Open,
    doc: "",
};

const BASE64_DECODE: Field = Field {
    name: "base64_decode",
    // kong.conf spells it the other way round.
    aliases: &["decode_base64"],
    ty: Type::Boolean,
    default: Some(Default::Boolean(false)),
    doc: "Decode every secret of this vault from base64, after the key is picked; what is not base64 is an error.",
    ..TEXT
};

const TTL: Field = Field {
    name: "ttl",
    ty: Type::Number,
    rule: Rule::Between(0.0, MAX_TTL),
    doc: "Seconds until a secret is read again; none or 0: it is read once.",
    ..TEXT
};

const NEG_TTL: Field =
    Field { name: "neg_ttl", doc: "Seconds until a secret that could not be read is tried again.", ..TTL };

const RESURRECT_TTL: Field = Field {
    name: "resurrect_ttl",
    doc: "Seconds for which a secret may be used beyond its ttl while the vault does not answer.",
    ..TTL
};
