//! Why a reference has no value, as users see it. Owns: the outermost words, which are Kong's. Must not know: how the
//! error is shown.

use std::time::Duration;

use thiserror::Error;

use crate::kind::Kind;
use crate::reference::{Reference, ReferenceError};
use crate::settings::FieldError;
use crate::subkey::SubkeyError;
use crate::vault::{Blame, VaultError};

/// Why a reference has no value. No text here holds a secret.
#[derive(Clone, Debug, Error)]
pub enum ResolveError {
    /// The text is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No vault has this name.
    #[error("could not find vault ({name})")]
    UnknownVault {
        /// The name.
        name: String,
        /// The known name that resembles it.
        nearest: Option<String>,
        /// All known names.
        known: Vec<String>,
    },
    /// The vault's configuration is wrong.
    #[error("vault '{name}' is misconfigured: {}", list(.errors))]
    Settings {
        /// The vault's name.
        name: String,
        /// What is wrong.
        errors: Vec<FieldError>,
    },
    /// A query option sets what a reference must not set.
    #[error("the option {} of {reference} {}", .error.field, .error.message)]
    Option {
        /// The reference.
        reference: String,
        /// What is wrong.
        error: FieldError,
    },
    /// A vault's field refers to something that has no value.
    #[error("cannot fill in {field} of vault '{vault}': {source}")]
    Field {
        /// The vault's name.
        vault: String,
        /// The field.
        field: &'static str,
        /// Why not.
        source: Box<ResolveError>,
    },
    /// A vault's field refers to a vault that needs a login.
    #[error("{reference} is not in a vault of kind {}", Kind::names_of(Kind::may_fill_settings))]
    NotLocal {
        /// The reference.
        reference: String,
    },
    /// Vaults refer to one another in a circle.
    #[error("the vaults refer to one another in a circle: {}", .names.join(" -> "))]
    Cycle {
        /// The names, the first one again at the end.
        names: Vec<String>,
    },
    /// The vault gave no value.
    #[error("could not get value from external vault ({})", no_value(.0))]
    Vault(#[source] VaultError),
    /// The value has no such member.
    #[error("could not get value from external vault (could not get subfield value: {error})")]
    Subkey {
        /// The reference.
        reference: Box<Reference>,
        /// Why not.
        error: SubkeyError,
    },
    /// The vault says base64, and the value is not.
    #[error("could not get value from external vault (the value is not base64 of UTF-8 text)")]
    NotBase64,
}

impl ResolveError {
    /// There is nothing where the reference points. Its last part was taken for a key, which people do not always
    /// mean.
    pub(super) fn absent(error: VaultError, reference: &Reference, key: &str) -> Self {
        let VaultError::Absent { message, hint } = error else { return Self::Vault(error) };
        let whole = reference.whole();
        let aside =
            format!("{key:?} was taken for a key; to mean all of {:?}, write {whole}", whole.resource());
        let hint = hint.map_or_else(|| aside.clone(), |hint| format!("{hint}\n{aside}"));
        Self::Vault(VaultError::Absent { message, hint: Some(hint) })
    }

    pub(super) fn settings(name: &str, errors: Vec<FieldError>) -> Self {
        Self::Settings { name: name.to_owned(), errors }
    }

    /// Who has to act.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Vault(error) => error.blame(),
            Self::Field { source, .. } => source.blame(),
            _ => Blame::Operator,
        }
    }

    /// Whether the same reference may resolve later with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Vault(error) => error.is_transient(),
            Self::Field { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// For how long the vault was not asked at all, because it failed before.
    pub fn held(&self) -> Option<Duration> {
        match self {
            Self::Vault(error) => error.held(),
            Self::Field { source, .. } => source.held(),
            _ => None,
        }
    }

    /// For how long not to ask again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Vault(error) => error.retry_after(),
            Self::Field { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// What to do about it, for people.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Reference(error) => Some(error.hint().to_owned()),
            Self::UnknownVault { name, nearest, known } => {
                Some(unknown_hint(name, nearest.as_deref(), known))
            }
            Self::Settings { errors, .. } => errors.iter().find_map(|error| error.hint.clone()),
            Self::Option { error, .. } => error.hint.clone(),
            Self::Field { source, .. } => source.hint(),
            Self::NotLocal { .. } => Some(format!(
                "a vault's own fields may refer to {} only: they are read before any login",
                Kind::names_of(Kind::may_fill_settings)
            )),
            Self::Cycle { .. } => Some("give one of them its value in another way".to_owned()),
            Self::Vault(error) => error.hint(),
            Self::Subkey { reference, error } => subkey_hint(reference, error),
            Self::NotBase64 => Some("store the value as base64, or set base64_decode: false".to_owned()),
        }
    }
}

fn no_value(error: &VaultError) -> String {
    match error {
        // Kong adds no parenthesis where there is nothing more to say.
        VaultError::Absent { message: None, .. } => "no value found".to_owned(),
        error => format!("no value found ({error})"),
    }
}

fn list(errors: &[FieldError]) -> String {
    let texts = errors.iter().map(|error| format!("{}: {}", error.field, error.message));
    texts.collect::<Vec<_>>().join("; ")
}

fn unknown_hint(name: &str, nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(near) => format!("did you mean {near}?"),
        // `vault://env/x` without braces is taken for a vault of that name.
        None if name == "vault:" || name == "vault" => {
            "write the reference in braces, or without vault://".to_owned()
        }
        None => format!("the configuration knows: {}", known.join(", ")),
    }
}

fn subkey_hint(reference: &Reference, error: &SubkeyError) -> Option<String> {
    match error {
        SubkeyError::NoMember { names, nearest, .. } => {
            let has = match names.as_slice() {
                [] => return Some("the secret has no keys".to_owned()),
                names => format!("the secret has the keys: {}", names.join(", ")),
            };
            Some(match nearest {
                Some(near) => format!("{has}; did you mean {near}? {}", reference.with_key(near)),
                None => has,
            })
        }
        SubkeyError::NotAString { .. } => Some("only strings can be referred to; store the value as a string".to_owned()),
        SubkeyError::NotJson { .. } | SubkeyError::NotAnObject(_) => Some(
            "the part after the last slash is a key of a JSON object; end the reference with a slash to mean the whole \
             value"
                .to_owned(),
        ),
    }
}
