//! Several texts of one user, whose values change together: a certificate and its key, all strings of a plugin.
//!
//! Owns: that a user never sees the new value of one text with the old one of another, where both come from the same
//! read; and that a user can tell which parts of a text came from a vault ([`Filled`]). Must not know: what the texts are
//! for. It is one [`Slot`] of all the texts, with a separator between their parts that nobody who writes to a vault can guess.

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::rotate::{Candidate, Engine};
use crate::slot::{Consumer, Derived, Made, Slot};
use crate::template::Template;
use postern_secret::Secret;

/// Several texts that change together.
#[derive(Clone)]
pub struct Bundle {
    slot: Arc<Slot>,
    separator: Arc<str>,
    /// For each text, how many references it holds.
    references: Arc<[usize]>,
}

/// A text with its references filled in.
#[derive(Clone, Debug)]
pub struct Filled {
    /// What was written and what came from a vault, by turns; it begins and ends with what was written, which may be empty.
    parts: Vec<Secret>,
}

impl Filled {
    /// The text.
    pub fn text(&self) -> Secret {
        self.text_with(|value| value.into())
    }

    /// The text, with each value changed on its way into it.
    pub fn text_with<'a>(&'a self, change: impl Fn(&'a str) -> Cow<'a, str>) -> Secret {
        let changed: Vec<Cow<'_, str>> = self
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| if index % 2 == 1 { change(part.expose()) } else { part.expose().into() })
            .collect();
        let mut text = Zeroizing::new(String::with_capacity(changed.iter().map(|part| part.len()).sum()));
        changed.iter().for_each(|part| text.push_str(part));
        Secret::from(text)
    }

    /// What came from a vault.
    pub fn values(&self) -> impl Iterator<Item = &Secret> {
        self.parts.iter().skip(1).step_by(2)
    }
}

impl Engine {
    /// The slot of several texts, at least one of which holds a reference. Kept for as long as somebody holds what is
    /// made of it.
    pub fn bundle<'a>(&self, texts: impl IntoIterator<Item = &'a Template>) -> Bundle {
        self.bundles([texts]).remove(0)
    }

    /// Several bundles. Those who share a secret also share its first read.
    pub fn bundles<'a, T: IntoIterator<Item = &'a Template>>(
        &self,
        bundles: impl IntoIterator<Item = T>,
    ) -> Vec<Bundle> {
        bundled(&self.separator(), bundles, |templates| self.slots(templates))
    }
}

impl Candidate {
    /// Several bundles of the candidate. Those who share a secret also share its first read.
    pub fn bundles<'a, T: IntoIterator<Item = &'a Template>>(
        &self,
        bundles: impl IntoIterator<Item = T>,
    ) -> Vec<Bundle> {
        bundled(&self.separator(), bundles, |templates| self.slots(templates))
    }

    /// Registers something that is made from a bundle's values, now and at every change. Before the commit it has no
    /// say: a value from which it cannot be made is used by others all the same, and it keeps what it has. From the
    /// commit on it is as what [`Bundle::derive`] gives. Until then [`Derived::load`] gives what is [`Made::Ready`], and
    /// nothing of what is finished at the commit.
    pub fn derive<T: Send + Sync + 'static>(
        &self,
        bundle: &Bundle,
        name: &'static str,
        make: impl Fn(&[Secret]) -> Result<Made<T>, String> + Send + Sync + 'static,
    ) -> Arc<Derived<T>> {
        self.derive_filled(bundle, name, move |filled| make(&texts(filled)))
    }

    /// The same, for those who must tell what came from a vault.
    pub fn derive_filled<T: Send + Sync + 'static>(
        &self,
        bundle: &Bundle,
        name: &'static str,
        make: impl Fn(&[Filled]) -> Result<Made<T>, String> + Send + Sync + 'static,
    ) -> Arc<Derived<T>> {
        let derived = bundle.slot.derive_for_candidate(name, bundle.made_of(make));
        let consumer: Arc<dyn Consumer> = Arc::<Derived<T>>::clone(&derived) as _;
        self.takes_effect(&consumer);
        derived
    }
}

/// One slot of all the texts of each bundle.
fn bundled<'a, T: IntoIterator<Item = &'a Template>>(
    separator: &Arc<str>,
    bundles: impl IntoIterator<Item = T>,
    slots: impl FnOnce(&[Template]) -> Vec<Arc<Slot>>,
) -> Vec<Bundle> {
    let joined = bundles.into_iter().map(|texts| {
        let texts: Vec<_> = texts.into_iter().collect();
        let references: Arc<[usize]> = texts.iter().map(|text| text.references().count()).collect();
        // Alone, it needs no separator, and shares its slot with whoever has the same.
        let is_alone = texts.len() == 1 && texts.iter().all(|text| text.as_reference().is_some());
        let separator = if is_alone { "" } else { separator };
        (references, Template::joined(&texts, separator))
    });
    let (references, templates): (Vec<_>, Vec<_>) = joined.unzip();
    let slots = slots(&templates);
    let bundle = |(references, slot)| Bundle { slot, separator: Arc::clone(separator), references };
    references.into_iter().zip(slots).map(bundle).collect()
}

fn texts(filled: &[Filled]) -> Vec<Secret> {
    filled.iter().map(Filled::text).collect()
}

impl Bundle {
    /// Registers something that is made from the values, in the order of the texts, now and at every change. Values
    /// from which it cannot be made are a fault of the bundle, and what was made before serves on: [`Slot::derive`].
    /// Other than there, a value that is there already and cannot be used leaves the thing empty until another comes;
    /// [`Derived::problem`] says why.
    pub fn derive<T: Send + Sync + 'static>(
        &self,
        name: &'static str,
        make: impl Fn(&[Secret]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Arc<Derived<T>> {
        self.slot.derive_or_wait(name, self.made_of(move |filled| make(&texts(filled))))
    }

    /// The same of the value of the slot.
    fn made_of<T, F>(&self, make: F) -> impl Fn(&Secret) -> Result<T, String> + Send + Sync + use<T, F>
    where
        F: Fn(&[Filled]) -> Result<T, String> + Send + Sync,
    {
        let (separator, references) = (Arc::clone(&self.separator), Arc::clone(&self.references));
        move |value| {
            let filled = split(value, &separator, &references).ok_or("the texts cannot be told apart")?;
            make(&filled)
        }
    }

    /// The texts as they are now; `None` while one has no value.
    pub fn filled(&self) -> Option<Vec<Filled>> {
        split(&self.slot.load()?, &self.separator, &self.references)
    }

    /// The slot behind it, to wait for.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Debug for Bundle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({} texts)", self.references.len())
    }
}

fn split(value: &Secret, separator: &str, references: &[usize]) -> Option<Vec<Filled>> {
    if references == [1] && !value.expose().contains(separator) {
        return Some(vec![Filled { parts: vec![Secret::from(""), value.clone(), Secret::from("")] }]);
    }
    let mut all = value.expose().split(separator).map(Secret::from);
    let filled: Option<Vec<_>> = references
        .iter()
        .map(|count| {
            let parts: Vec<_> = all.by_ref().take(2 * count + 1).collect();
            (parts.len() == 2 * count + 1).then_some(Filled { parts })
        })
        .collect();
    filled.filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_apart_as_they_went_in() {
        let apart = |value: &str, references: &[usize]| {
            let filled = split(&Secret::from(value), "|", references)?;
            let shown = filled.iter().map(|filled| {
                let values: Vec<_> = filled.values().map(|value| value.expose().to_owned()).collect();
                (filled.text().expose().to_owned(), values.join(","))
            });
            Some(shown.collect::<Vec<_>>())
        };
        let text = |text: &str, values: &str| (text.to_owned(), values.to_owned());
        assert_eq!(apart("a", &[1]), Some(vec![text("a", "a")]));
        assert_eq!(apart("x|a|y", &[1]), Some(vec![text("xay", "a")]));
        assert_eq!(apart("x|a|y|b", &[1, 0]), Some(vec![text("xay", "a"), text("b", "")]));
        assert_eq!(apart("|a||b|", &[2]), Some(vec![text("ab", "a,b")]));
        assert_eq!(apart("||", &[1]), Some(vec![text("", "")]));
        assert_eq!(apart("a|b", &[1]), None);
        assert_eq!(apart("a|b|c|d", &[1]), None);
    }

    #[test]
    fn a_value_can_be_changed_on_its_way_into_the_text() {
        let filled = split(&Secret::from("a|a|a"), "|", &[1]).unwrap().remove(0);
        assert_eq!(filled.text_with(|value| value.to_uppercase().into()).expose(), "aAa");
    }
}
