//! One digest of several fields, each with its length in front, so that no two lists of fields are the same by the way they
//! are cut. Must not know: what is compared by it.

use sha2::{Digest as _, Sha256};

/// A digest in the making (SHA-256).
#[derive(Clone, Debug)]
pub struct Hashed(Sha256);

impl Hashed {
    /// Begins with what the digest is for, in one line: digests for two purposes are never the same.
    pub fn of(purpose: &str) -> Self {
        Self(Sha256::new_with_prefix(purpose)).fixed("\n")
    }

    /// One more field, of any length.
    #[must_use]
    pub fn field(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.number(bytes.len() as u64).fixed(bytes)
    }

    /// A list of fields: how many there are, and each of them.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(
        self,
        fields: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> Self {
        let fields = fields.into_iter();
        let counted = self.number(fields.len() as u64);
        fields.fold(counted, Self::field)
    }

    /// A number.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.fixed(number.to_le_bytes())
    }

    /// One more field, whose length is the same in all digests for this purpose.
    #[must_use]
    pub fn fixed(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.update(bytes.as_ref());
        self
    }

    /// The digest.
    pub fn end(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_not_the_same_by_the_way_they_are_cut() {
        let of =
            |fields: &[&str]| fields.iter().fold(Hashed::of("test"), |hash, field| hash.field(field)).end();
        let list = |fields: &[&str]| Hashed::of("test").list(fields.iter()).end();
        let all = [
            of(&["ab", "c"]),
            of(&["a", "bc"]),
            of(&["abc"]),
            of(&["abc", ""]),
            of(&[]),
            list(&[]),
            list(&["abc"]),
            list(&["ab", "c"]),
            Hashed::of("tes").fixed("t").field("ab").field("c").end(),
            Hashed::of("another").end(),
        ];
        for (index, digest) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == digest), Some(index));
        }
        assert_eq!(of(&["ab"]), Hashed::of("test").number(2).fixed("ab").end());
    }
}
