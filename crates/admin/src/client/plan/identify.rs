//! Which wanted entity is which present one.
//!
//! Owns: identifiers, references, and what stands twice. Must not know: what is to be done about it.

use std::collections::{HashMap, HashSet};

use postern_model::Kind;
use postern_model::kind::Refers;
use postern_secrets::nearest::did_you_mean;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::super::Problems;
use super::super::kinds::{self, Body, Place, referred};
use super::super::mask::Mask;
use super::super::present::{Existing, Present};
use super::super::schema;
use super::super::schemas::Schemas;
use super::super::wanted::{Entity, Target, Wanted};
use super::Goal;

/// A wanted entity that can be written.
#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) kind: Kind,
    pub(super) id: String,
    /// All fields, its references included.
    pub(super) body: Body,
    pub(super) mask: Mask,
    /// Which present one it is.
    pub(super) matches: Option<usize>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) entities: Vec<One>,
    /// Of each present one: whether it is wanted.
    pub(super) taken: Vec<bool>,
    /// Present ones that have what only another may have.
    pub(super) rivals: Vec<usize>,
    /// Present ones that have a second name of another.
    pub(super) second_names: Vec<usize>,
}

/// Kinds of which several may be alike.
const MAY_BE_ALIKE: &[&str] = &["certificates"];

pub(super) fn identify(
    wanted: &Wanted,
    present: &Present,
    schemas: &Schemas,
    goal: Goal,
) -> Result<Identified, Problems> {
    let mut order: Vec<usize> = (0..wanted.entities.len()).collect();
    order.sort_by_key(|index| wanted.entities[*index].kind.rank());
    let mut matcher = Matcher::new(wanted, present, schemas, goal);
    for index in &order {
        matcher.one(*index, &wanted.entities[*index]);
    }
    matcher.finish(&order)
}

struct Matcher<'a> {
    schemas: &'a Schemas,
    present: &'a [Existing],
    by_id: HashMap<(&'static str, &'a str), usize>,
    by_identity: HashMap<(&'static str, String), usize>,
    /// What may be referred to: by collection, and name or identifier.
    known: HashMap<(&'static str, String), String>,
    /// Identities of the files, and where they stand.
    seen: HashMap<(&'static str, String), &'a str>,
    wanted_ids: HashSet<(&'static str, &'a str)>,
    /// Present ones that somebody wants by what comes first: no other may have them for less.
    claimed: HashSet<usize>,
    found: Vec<Option<One>>,
    taken: Vec<bool>,
    rivals: Vec<usize>,
    second_names: Vec<usize>,
    problems: Vec<String>,
}

impl<'a> Matcher<'a> {
    fn new(wanted: &'a Wanted, present: &'a Present, schemas: &'a Schemas, goal: Goal) -> Self {
        let mut matcher = Self {
            schemas,
            present: &present.entities,
            by_id: HashMap::new(),
            by_identity: HashMap::new(),
            known: HashMap::new(),
            seen: HashMap::new(),
            wanted_ids: HashSet::new(),
            claimed: HashSet::new(),
            found: vec![None; wanted.entities.len()],
            taken: vec![false; present.entities.len()],
            rivals: Vec::new(),
            second_names: Vec::new(),
            problems: Vec::new(),
        };
        for (at, existing) in present.entities.iter().enumerate() {
            let collection = existing.kind.collection();
            matcher.by_id.insert((collection, &existing.id), at);
            for identity in kinds::identities(existing.kind, &existing.body) {
                matcher.by_identity.entry((collection, identity)).or_insert(at);
            }
            if goal == Goal::AtLeast {
                matcher.know(existing.kind, &existing.id, &existing.body);
            }
        }
        for existing in &present.lookup {
            matcher.know(existing.kind, &existing.id, &existing.body);
        }
        let ids = wanted.entities.iter();
        let ids = ids.filter_map(|entity| Some((entity.kind.collection(), entity.id.as_deref()?)));
        matcher.wanted_ids = ids.collect();
        for entity in &wanted.entities {
            let collection = entity.kind.collection();
            let by_id = entity.id.as_deref().and_then(|id| matcher.by_id.get(&(collection, id)));
            let first =
                kinds::identities(entity.kind, &entity.body).into_iter().find(|identity| is_first(identity));
            let first = first.and_then(|first| matcher.by_identity.get(&(collection, first)));
            matcher.claimed.extend(by_id.or(first.filter(|_| entity.id.is_none())));
        }
        matcher
    }

    fn one(&mut self, index: usize, entity: &'a Entity) {
        let kind = entity.kind;
        let mut body = entity.body.clone();
        for (reference, target) in &entity.references {
            match self.identifier(*reference, target) {
                Some(id) => {
                    body.insert(reference.field.to_owned(), json!({ "id": id }));
                }
                None => self.not_found(entity, *reference, target),
            }
        }
        self.partials(entity, &mut body);
        if let Some(schema) = self.schemas.entity(kind).filter(|_| kind.has_defaults()) {
            self.unknown_fields(entity, schema);
            schema::fill_entity(schema, &mut body);
        }
        let identities = kinds::identities(kind, &body);
        if identities.is_empty() && entity.id.is_none() {
            let fields =
                kind.known_by().iter().map(|fields| fields.join(" and ")).collect::<Vec<_>>().join(" or ");
            self.problems.push(format!("{}: {} needs {fields}, or an id", entity.place, kind.deck_name()));
            return;
        }
        let stood = identities.iter().map(|identity| (kind.collection(), identity.clone()));
        let by_id = entity.id.iter().map(|id| (kind.collection(), format!("id:{id}")));
        let may_be_alike = MAY_BE_ALIKE.contains(&kind.collection()) && entity.id.is_some();
        for key in stood.filter(|_| !may_be_alike).chain(by_id) {
            if let Some(other) = self.seen.insert(key, &entity.place) {
                self.problems.push(format!("{}: {} stands at {other}, too", entity.place, kind.deck_name()));
                return;
            }
        }
        let matches = self.matching(entity, &identities);
        if let Some(at) = matches {
            self.taken[at] = true;
            let existing = &self.present[at];
            let moved = match kinds::place(kind) {
                Place::Under(_, owner, _) => referred(&existing.body, owner) != referred(&body, owner),
                _ => false,
            };
            if moved {
                self.rivals.push(at);
            }
        }
        let id = match (&entity.id, matches) {
            (Some(id), _) => id.clone(),
            (None, Some(at)) => self.present[at].id.clone(),
            (None, None) => Uuid::new_v4().to_string(),
        };
        self.know(kind, &id, &body);
        self.found[index] = Some(One { kind, id, body, mask: entity.mask.clone(), matches });
    }

    /// The present one, by identifier or else by what tells it from others. Notes who else has any of that.
    fn matching(&mut self, entity: &Entity, identities: &[String]) -> Option<usize> {
        let collection = entity.kind.collection();
        let holders: Vec<usize> = identities
            .iter()
            .filter_map(|identity| self.by_identity.get(&(collection, identity.clone())).copied())
            .collect();
        let Some(id) = &entity.id else {
            let matches = identities.first().zip(holders.first().copied());
            let matches = matches.filter(|(identity, at)| is_first(identity) || !self.claimed.contains(at));
            let is_anothers =
                |at: usize| self.wanted_ids.contains(&(collection, self.present[at].id.as_str()));
            let matches = matches.map(|(_, at)| at).filter(|at| !self.taken[*at] && !is_anothers(*at));
            self.second_names.extend(holders.into_iter().filter(|at| Some(*at) != matches));
            return matches;
        };
        let matches = self.by_id.get(&(collection, id.as_str())).copied();
        if !MAY_BE_ALIKE.contains(&collection) {
            let others = holders.into_iter().filter(|at| Some(*at) != matches);
            // Whoever is wanted by its own identifier gets another name soon.
            let rivals =
                others.filter(|at| !self.wanted_ids.contains(&(collection, self.present[*at].id.as_str())));
            self.rivals.extend(rivals);
        }
        matches
    }

    fn identifier(&self, reference: Refers, target: &Target) -> Option<String> {
        match target {
            Target::Around(index) => self.found.get(*index)?.as_ref().map(|one| one.id.clone()),
            Target::Named(name) => {
                let known = self.known.get(&(reference.to, name.clone())).cloned();
                // Whether there is one with this identifier is for the gateway to say.
                known.or_else(|| Uuid::try_parse(name).ok().map(|id| id.to_string()))
            }
        }
    }

    fn not_found(&mut self, entity: &Entity, reference: Refers, target: &Target) {
        // What is wrong with the one around it has been said.
        if let Target::Named(name) = target {
            let own = entity
                .body
                .get("name")
                .and_then(Json::as_str)
                .map_or_else(String::new, |own| format!(" {own}"));
            let what = format!("{}{own}", entity.kind.deck_name());
            let field = reference.field;
            self.problems.push(format!("{}: {field} {name} for {what}: entity not found", entity.place));
        }
    }

    /// `partials: [{name: redis}]` of a plugin: names become identifiers.
    fn partials(&mut self, entity: &Entity, body: &mut Body) {
        let Some(Json::Array(items)) = body.get_mut("partials").filter(|_| entity.kind.is_plugin()) else {
            return;
        };
        for item in items.iter_mut().filter_map(Json::as_object_mut) {
            let Some(name) = item.get("name").and_then(Json::as_str).map(ToOwned::to_owned) else { continue };
            match self.known.get(&("partials", name.clone())) {
                Some(id) => {
                    item.remove("name");
                    item.insert("id".to_owned(), id.as_str().into());
                }
                None if item.contains_key("id") => {
                    item.remove("name");
                }
                None => self.problems.push(format!("{}: partial {name}: entity not found", entity.place)),
            }
        }
    }

    /// Names that the gateway would refuse, told before anything is written.
    fn unknown_fields(&mut self, entity: &Entity, schema: &Json) {
        for name in entity.body.keys() {
            if schema::field(schema, name).is_none() {
                let near = did_you_mean(name, schema::fields(schema).map(|(name, _)| name));
                let near = near.map_or_else(String::new, |near| format!("; {near}"));
                self.problems.push(format!("{}: unknown field {name}{near}", entity.place));
            }
        }
    }

    fn know(&mut self, kind: Kind, id: &str, body: &Body) {
        let single = kind.known_by().into_iter().filter(|fields| fields.len() == 1).map(|fields| fields[0]);
        for name in single.filter_map(|field| body.get(field).and_then(Json::as_str)) {
            self.known.entry((kind.collection(), name.to_owned())).or_insert_with(|| id.to_owned());
        }
        self.known.insert((kind.collection(), id.to_owned()), id.to_owned());
    }

    fn finish(mut self, order: &[usize]) -> Result<Identified, Problems> {
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        let entities = order.iter().filter_map(|index| self.found[*index].take()).collect();
        let Self { taken, rivals, second_names, .. } = self;
        Ok(Identified { entities, taken, rivals, second_names })
    }
}

/// Whether it is by the first set of fields that an entity is known like this.
fn is_first(identity: &str) -> bool {
    identity.starts_with("0:")
}
