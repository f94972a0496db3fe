//! The kinds of vault, one file or folder each: its field list, and how it reads. Must not know: references,
//! caching, or one another. Everything that does IO is behind the feature `backends`.

pub mod env;
pub mod fs;
pub mod hcv;

use crate::field::{Default, Exposure, Field, Rule, Type};

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

const NEG_TTL: Field = Field {
    name: "neg_ttl",
    doc: "Seconds until a secret that could not be read is tried again.",
    ..TTL
};

const RESURRECT_TTL: Field = Field {
    name: "resurrect_ttl",
    doc: "Seconds for which a secret may be used beyond its ttl while the vault does not answer.",
    ..TTL
};
