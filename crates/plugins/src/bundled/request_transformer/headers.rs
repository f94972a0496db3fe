//! Changing headers.
//!
//! Owns: what each change means for headers. `Host` is only replaced, as in Kong. Must not know: the configuration.

use http::HeaderMap;
use http::header::{HOST, HeaderName, HeaderValue};

use super::named::Change;
use super::template::{Facts, Template};
use crate::bundled::rules::is_header_value;

/// Whether what is the same for every request can stand in a header. A secret that cannot (a key with line ends in it) is
/// refused here, so that no request goes on without it.
///
/// # Errors
/// That it cannot. Not which: the name may have come out of a secret.
pub(super) fn check(changes: &[Change]) -> Result<(), String> {
    changes.iter().try_for_each(|change| match change {
        Change::Replace(_, template) | Change::Add(_, template) | Change::Append(_, template) => {
            can_be_sent(template)
        }
        Change::Remove(_) | Change::Rename(..) => Ok(()),
    })
}

/// Whether a value can stand in a header, as far as that is known without a request.
pub(super) fn can_be_sent(template: &Template) -> Result<(), String> {
    if template.is_constant() { is_header_value(&template.render(&Facts::default())) } else { Ok(()) }
}

/// Does the changes in their order.
pub(super) fn apply(changes: &[Change], headers: &mut HeaderMap, facts: &Facts) {
    for change in changes {
        let Ok(name) = HeaderName::try_from(change.name()) else { continue };
        // What came out as something that cannot stand in a header is left out.
        let value = |template: &Template| HeaderValue::try_from(template.render(facts)).ok();
        match change {
            Change::Remove(_) if name != HOST => drop(headers.remove(name)),
            Change::Rename(_, new) if name != HOST => rename(headers, &name, &new.render(facts)),
            Change::Replace(_, template) if name == HOST || headers.contains_key(&name) => {
                value(template).map(|value| headers.insert(name, value));
            }
            Change::Add(_, template) if name != HOST && !headers.contains_key(&name) => {
                value(template).map(|value| headers.insert(name, value));
            }
            Change::Append(_, template) if name != HOST => {
                value(template).map(|value| headers.append(name, value));
            }
            _ => {}
        }
    }
}

fn rename(headers: &mut HeaderMap, old: &HeaderName, new: &str) {
    let Ok(new) = HeaderName::try_from(new) else { return };
    if *old == new || !headers.contains_key(old) {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(old).iter().cloned().collect();
    headers.remove(old);
    headers.remove(&new);
    for value in values {
        headers.append(new.clone(), value);
    }
}
