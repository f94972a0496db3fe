//! Several texts of one user, whose values change together: a certificate and its key, all strings of a plugin.
//!
//! Owns: that a user never sees the new value of one text with the old one of another, where both come from the same
//! read. Must not know: what the texts are for. It is one [`Slot`] of all the texts, with a separator between them that
//! nobody who writes to a vault can guess.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use crate::rotate::{Candidate, Engine};
use crate::slot::{Consumer, Derived, Made, Slot};
use crate::template::Template;
use postern_secret::Secret;

/// Several texts that change together.
#[derive(Clone)]
pub struct Bundle {
    slot: Arc<Slot>,
    separator: Arc<str>,
    count: usize,
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
        (texts.len(), Template::joined(&texts, separator))
    });
    let (counts, templates): (Vec<_>, Vec<_>) = joined.unzip();
    let slots = slots(&templates);
    let bundle = |(count, slot)| Bundle { slot, separator: Arc::clone(separator), count };
    counts.into_iter().zip(slots).map(bundle).collect()
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
        self.slot.derive_or_wait(name, self.made_of(make))
    }

    /// The same of the value of the slot.
    fn made_of<T, F>(&self, make: F) -> impl Fn(&Secret) -> Result<T, String> + Send + Sync + use<T, F>
    where
        F: Fn(&[Secret]) -> Result<T, String> + Send + Sync,
    {
        let (separator, count) = (Arc::clone(&self.separator), self.count);
        move |value| {
            let texts = split(value, &separator, count).ok_or("the texts cannot be told apart")?;
            make(&texts)
        }
    }

    /// The slot behind it, to wait for.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Debug for Bundle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({} texts)", self.count)
    }
}

fn split(value: &Secret, separator: &str, count: usize) -> Option<Vec<Secret>> {
    if count == 1 {
        return Some(vec![value.clone()]);
    }
    let texts: Vec<_> = value.expose().split(separator).map(Secret::from).collect();
    (texts.len() == count).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_apart_as_they_went_in() {
        let texts = |value: &str, count| {
            let texts = split(&Secret::from(value), "|", count)?;
            Some(texts.iter().map(|text| text.expose().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(texts("a|b", 2), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(texts("|", 2), Some(vec![String::new(), String::new()]));
        assert_eq!(texts("a|b", 1), Some(vec!["a|b".to_owned()]));
        assert_eq!(texts("a|b|c", 2), None);
    }
}
