//! The only holder of plaintext.
//!
//! Owns: that a secret value is neither printed nor serialised by accident, and is wiped when its last holder
//! drops it. Must not know: where values come from. There is one way to the text, [`Secret::expose`], so that
//! `grep expose` lists every place that touches plaintext.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use zeroize::Zeroizing;

/// A secret text. Cloning shares the one copy; it has no `Display`, no `Serialize`, and a starred `Debug`.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// The plaintext. Do not copy it into anything that is not wiped, logged or kept.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The texts one after the other.
    pub fn joined(parts: &[Self]) -> Self {
        // One allocation of the right size: a growing text would leave pieces of itself behind.
        let mut text =
            Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.expose().len()).sum()));
        parts.iter().for_each(|part| text.push_str(part.expose()));
        Self::from(text)
    }

    /// The one copy, for a slot to hold.
    pub fn shared(&self) -> Arc<Zeroizing<String>> {
        Arc::clone(&self.0)
    }

    /// A secret that a slot holds.
    pub fn from_shared(text: Arc<Zeroizing<String>>) -> Self {
        Self(text)
    }
}

impl From<String> for Secret {
    /// Takes the text over without a copy; the buffer is wiped with the secret.
    fn from(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(Arc::new(text))
    }
}

impl From<&str> for Secret {
    /// Copies the text; the caller keeps the duty to wipe the original.
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl PartialEq for Secret {
    /// Takes the same time for any two texts of one length.
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.expose().as_bytes(), other.expose().as_bytes());
        ours.len() == theirs.len() && ours.iter().zip(theirs).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
    }
}

impl Eq for Secret {}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reading a secret from a document is fine; writing one is not possible.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::from(text))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// `Secret` can be exposed, but not printed or serialised: the first compiles, the others must not.
///
/// ```
/// println!("{}", postern_secret::Secret::from("hunter2").expose());
/// serde_json::to_string(postern_secret::Secret::from("hunter2").expose()).unwrap();
/// let text: String = postern_secret::Secret::from("hunter2").expose().into();
/// ```
/// ```compile_fail
/// println!("{}", postern_secret::Secret::from("hunter2"));
/// ```
/// ```compile_fail
/// serde_json::to_string(&postern_secret::Secret::from("hunter2")).unwrap();
/// ```
/// ```compile_fail
/// let text: String = postern_secret::Secret::from("hunter2").into();
/// ```
/// ```compile_fail
/// let text = postern_secret::Secret::from("hunter2").to_string();
/// ```
#[cfg(doctest)]
struct CannotLeak;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_starred_at_any_depth() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{:?}", Some(vec![secret.clone()])), "Some([***])");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn equality_is_of_the_whole_text() {
        assert_eq!(Secret::from("abc"), Secret::from("abc"));
        assert_ne!(Secret::from("abc"), Secret::from("abd"));
        assert_ne!(Secret::from("abc"), Secret::from("ab"));
    }

    #[test]
    fn the_last_clone_owns_the_only_copy() {
        let secret = Secret::from("hunter2");
        let clone = secret.clone();
        assert!(std::ptr::eq(secret.expose(), clone.expose()));
    }
}
