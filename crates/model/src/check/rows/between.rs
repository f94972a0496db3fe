//! What is wrong between rows that are right by themselves: one refers to what is not there, two have what only one may.
//!
//! Owns: what must be known of each row to see this, and for how long. Must not know: bodies, paths. A store sees to all
//! of it when a row is written, so that something is found here only where rows were written past it.
//!
//! Few kinds have many rows. Of those of which there may be millions nothing is kept per row: all are looked at once
//! when they were read for the first time, and later only those that came since; what goes later takes along what refers
//! to it, which is for the store to see to.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher as _;

use uuid::Uuid;

use super::super::resolve::shown;
use crate::entity::{Definition, Foreign, MEMBERSHIPS};
use crate::field::Type;
use crate::value::{Record, Value};

/// A row by its kind and identifier.
pub(super) type Place = (&'static str, Uuid);

/// A field of a kind.
type Column = (&'static str, &'static str);

/// What a row says of others, and what it must not share.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// The field, the kind and the identifier of the other row.
    pub(super) refers: Vec<(&'static str, &'static str, Uuid)>,
    /// Fields and fingerprints of their values, some of which are credentials.
    prints: Vec<(&'static str, u64)>,
}

/// Why a row that is right by itself cannot take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This field refers to a row of this kind that is not there.
    Dangling { field: &'static str, to: &'static str, id: Uuid },
    /// Another row has the same in this field; in several where it is [`CACHE_KEY`].
    Double { field: &'static str },
}

/// Stands for the fields that count together.
pub(super) const CACHE_KEY: &str = "cache_key";

/// From so many on, looking for identifiers in a list of their own is worth making that list.
const MANY: usize = 256;

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Between {
    hasher: RandomState,
    /// Of kinds with few rows.
    links: BTreeMap<Place, Links>,
    /// Of kinds with many rows.
    many: Many,
}

#[derive(Debug, Default)]
struct Many {
    /// Whether those that were read first have been looked at.
    is_settled: bool,
    /// Of those that came in order, for the first look: a field and the kind that it refers to; the row and the other one.
    refers: BTreeMap<(Column, &'static str), Vec<(Uuid, Uuid)>>,
    /// The same of what they must not share.
    prints: BTreeMap<Column, Vec<(u64, Uuid)>>,
    /// Of these the above is not so any longer.
    stale: HashSet<Place>,
    /// Those that came since.
    changed: BTreeMap<Place, Links>,
    /// Those that refer to what was not there when they were looked at.
    dangling: BTreeMap<Place, Links>,
    /// Those that share something, by its fingerprint.
    doubles: BTreeMap<(Column, u64), BTreeSet<Uuid>>,
}

/// What rows there are.
pub(super) trait Present {
    /// Whether there is one, be it broken.
    fn has(&self, kind: &str, id: Uuid) -> bool;

    /// The identifiers of the well-formed ones of a kind, in order.
    fn ids(&self, kind: &str) -> Vec<Uuid>;
}

impl Between {
    /// What is to be known of a row; the fields that refer to others otherwise than by an identifier are told apart.
    pub(super) fn links(
        &self,
        definition: &'static Definition,
        record: &Record,
    ) -> (Links, Vec<&'static str>) {
        let mut links = Links::default();
        let mut wrong = Vec::new();
        for field in definition.schema.fields {
            match (field.ty, record.get(field.name)) {
                (_, None) => continue,
                (Type::Foreign(to), Some(value)) => match Foreign::of(value) {
                    Some(id) => links.refers.push((field.name, to, id)),
                    None => wrong.push(field.name),
                },
                (Type::Array(_), Some(Value::List(items))) if field.name == "ca_certificates" => {
                    let ids = items.iter().filter_map(|item| Uuid::try_parse(item.as_text()?).ok());
                    links.refers.extend(ids.map(|id| (field.name, "ca_certificates", id)));
                }
                _ => {}
            }
            if field.unique {
                links.prints.push((field.name, self.print(record.get(field.name))));
            }
        }
        if definition.cache_key.len() > 1 && definition.collection != MEMBERSHIPS.collection {
            let values: Vec<_> =
                definition.cache_key.iter().map(|field| record.get(field).and_then(shown)).collect();
            links.prints.push((CACHE_KEY, self.hasher.hash_one(values)));
        }
        (links, wrong)
    }

    fn print(&self, value: Option<&Value>) -> u64 {
        match value {
            Some(Value::Text(text)) => self.hasher.hash_one(text.as_str()),
            other => self.hasher.hash_one(other.and_then(shown)),
        }
    }

    /// A row that is right by itself. `is_lean`: of a kind of which there may be many; `is_last`: it came behind all
    /// others of its kind.
    pub(super) fn put(&mut self, (kind, id): Place, links: Links, is_lean: bool, is_last: bool) {
        if !is_lean {
            self.links.insert((kind, id), links);
        } else if is_last && !self.many.is_settled && !self.many.stale.contains(&(kind, id)) {
            for (field, to, other) in links.refers {
                self.many.refers.entry(((kind, field), to)).or_default().push((id, other));
            }
            for (field, print) in links.prints {
                self.many.prints.entry((kind, field)).or_default().push((print, id));
            }
        } else {
            self.many.changed.insert((kind, id), links);
        }
    }

    pub(super) fn remove(&mut self, place: Place, is_lean: bool) {
        if !is_lean {
            self.links.remove(&place);
            return;
        }
        let many = &mut self.many;
        many.changed.remove(&place);
        many.dangling.remove(&place);
        let doubles = many.doubles.iter_mut().filter(|(((kind, _), _), _)| *kind == place.0);
        doubles.for_each(|(_, ids)| _ = ids.remove(&place.1));
        let was_looked_at = many.is_settled || many.refers.is_empty() && many.prints.is_empty();
        if !was_looked_at {
            many.stale.insert(place);
        }
    }

    /// What is wrong now, and to whom those rows refer.
    pub(super) fn faults(&mut self, present: &impl Present) -> BTreeMap<Place, Vec<Fault>> {
        let mut faults: BTreeMap<Place, Vec<Fault>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for ((kind, id), links) in &self.links {
            let doubles = links.prints.iter().filter(|(field, print)| !seen.insert((*kind, *field, *print)));
            let mut wrong = links.dangling(present);
            wrong.extend(doubles.map(|(field, _)| Fault::Double { field }));
            if !wrong.is_empty() {
                faults.insert((kind, *id), wrong);
            }
        }
        self.many.faults(present, &mut faults);
        faults
    }

    /// To whom a row refers that [`Between::faults`] named.
    pub(super) fn refers(&self, place: Place) -> &[(&'static str, &'static str, Uuid)] {
        let links = self.links.get(&place).or_else(|| self.many.dangling.get(&place));
        links.map_or(&[], |links| &links.refers)
    }
}

impl Links {
    fn dangling(&self, present: &impl Present) -> Vec<Fault> {
        let missing = self.refers.iter().filter(|(_, to, id)| !present.has(to, *id));
        missing.map(|(field, to, id)| Fault::Dangling { field, to, id: *id }).collect()
    }
}

impl Many {
    fn faults(&mut self, present: &impl Present, faults: &mut BTreeMap<Place, Vec<Fault>>) {
        self.first_look(present);
        for (place, links) in std::mem::take(&mut self.changed) {
            for (field, print) in &links.prints {
                if let Some(ids) = self.doubles.get_mut(&((place.0, *field), *print)) {
                    ids.insert(place.1);
                }
            }
            if !links.dangling(present).is_empty() {
                self.dangling.insert(place, links);
            }
        }
        self.dangling.retain(|_, links| !links.dangling(present).is_empty());
        for (place, links) in &self.dangling {
            faults.entry(*place).or_default().extend(links.dangling(present));
        }
        self.doubles.retain(|_, ids| ids.len() > 1);
        for (((kind, field), _), ids) in &self.doubles {
            // Nobody can tell which one is meant: of two who show the same credential, neither is known.
            let stays = usize::from(!is_credential(kind));
            for id in ids.iter().skip(stays) {
                faults.entry((kind, *id)).or_default().push(Fault::Double { field });
            }
        }
    }

    /// At all that were read first.
    fn first_look(&mut self, present: &impl Present) {
        self.is_settled = true;
        let stale = std::mem::take(&mut self.stale);
        let is_so = |kind: &'static str, id: Uuid| stale.is_empty() || !stale.contains(&(kind, id));
        let mut known: HashMap<&str, Vec<Uuid>> = HashMap::new();
        for (((kind, field), to), refers) in std::mem::take(&mut self.refers) {
            let ids = (refers.len() > MANY).then(|| &*known.entry(to).or_insert_with(|| present.ids(to)));
            for (id, other) in refers {
                let is_there = ids.is_some_and(|ids| ids.binary_search(&other).is_ok());
                if !is_there && is_so(kind, id) {
                    self.dangling.entry((kind, id)).or_default().refers.push((field, to, other));
                }
            }
        }
        for ((kind, field), mut prints) in std::mem::take(&mut self.prints) {
            prints.sort_unstable();
            for same in prints.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
                let ids: BTreeSet<_> = same.iter().map(|(_, id)| *id).filter(|id| is_so(kind, *id)).collect();
                self.doubles.insert(((kind, field), same[0].0), ids);
            }
        }
    }
}

/// Whether rows of a kind say who somebody is.
fn is_credential(kind: &str) -> bool {
    crate::entity::definition(kind).is_some_and(|definition| {
        let has = |name: &str, unique: bool| {
            definition.schema.fields.iter().any(|field| field.name == name && field.unique == unique)
        };
        has("consumer", false) && (has("key", true) || has("username", true))
    })
}
