//! Files → a flat list of the entities that they ask for.
//!
//! Owns: what may stand in what, which words refer to other entities, and what a file says about itself: `_info`,
//! `_workspace`, `_plugin_configs`. Must not know: the network, and what a gateway has. Data goes on to `plan`, which gives
//! identifiers and finds what is referred to.
//!
//! Several files are one: their lists are appended. Both of decK's form and the DB-less form are read, and their union.

mod header;
mod settle;

use postern_model::document::{Entry, Node};
use postern_model::kind::Refers;
use postern_model::{Kind, Position, Severity};

use super::Problems;
use super::kinds::{self, Body};
use super::mask::Mask;
pub use header::Header;

/// Names that stand for another list.
const ALIASES: &[(&str, &str)] = &[("consumer_group_plugins", "plugins")];

/// What is to be read.
#[derive(Debug)]
pub struct Source {
    /// For people: `kong.yaml`.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What files ask for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Every entity, each after the one that it stands in.
    pub entities: Vec<Entity>,
    /// What they say of themselves.
    pub header: Header,
}

impl Wanted {
    /// The same with these tags on each entity that may have any.
    #[must_use]
    pub fn with_tags(mut self, tags: &[String]) -> Self {
        if !tags.is_empty() {
            self.entities.iter_mut().for_each(|entity| settle::tag(entity, tags));
        }
        self
    }
}

/// An entity as a file has it.
#[derive(Clone, Debug)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// Its fields, without its identifier and those that name others.
    pub body: Body,
    /// The identifier that it is to have.
    pub id: Option<String>,
    /// To which it refers.
    pub references: Vec<(Refers, Target)>,
    /// What of it came out of the environment.
    pub mask: Mask,
    /// Where it stands, for people.
    pub place: String,
}

/// Another entity, as a file names it.
#[derive(Clone, Debug)]
pub enum Target {
    /// The one that this one stands in.
    Around(usize),
    /// By its name or its identifier.
    Named(String),
}

/// Reads files. `env` answers `${{ env "DECK_X" }}`; values from it are noted, so that nobody is shown them, if `hides`.
///
/// # Errors
/// Everything that is wrong with them, with file and line.
pub fn read(
    sources: &[Source],
    env: &dyn Fn(&str) -> Option<String>,
    hides: bool,
) -> Result<Wanted, Problems> {
    let mut problems = Vec::new();
    let mut documents = Vec::new();
    for source in sources {
        match postern_model::read(&source.bytes, env) {
            Ok(document) => {
                let wrong =
                    document.violations().into_iter().filter(|found| found.severity == Severity::Error);
                problems.extend(wrong.map(|violation| violation.in_file(&source.name).to_string()));
                documents.push((source.name.as_str(), document));
            }
            Err(violations) => {
                problems.extend(violations.iter().map(|found| found.in_file(&source.name).to_string()));
            }
        }
    }
    let header = header::merged(&documents, hides, &mut problems);
    let mut reader = Reader { entities: Vec::new(), header, problems, hides, file: "" };
    for (name, document) in &documents {
        reader.file = name;
        for (collection, nodes) in &document.collections {
            reader.top_level(collection, nodes);
        }
    }
    let Reader { mut entities, header, mut problems, .. } = reader;
    for entity in &mut entities {
        settle::settle(entity, &header, &mut problems);
    }
    if problems.is_empty() { Ok(Wanted { entities, header }) } else { Err(Problems(problems)) }
}

struct Reader<'a> {
    entities: Vec<Entity>,
    header: Header,
    problems: Vec<String>,
    hides: bool,
    file: &'a str,
}

impl Reader<'_> {
    fn top_level(&mut self, collection: &str, nodes: &[Node]) {
        let collection =
            ALIASES.iter().find(|(name, _)| *name == collection).map_or(collection, |(_, of)| of);
        match Kind::known_as(collection) {
            Some(kind) => nodes.iter().for_each(|node| self.entity(kind, node, None)),
            None => {
                if let Some(first) = nodes.first() {
                    self.problem(first.position(), format!("{collection} cannot be synced yet"));
                }
            }
        }
    }

    fn entity(&mut self, kind: Kind, node: &Node, around: Option<(Refers, usize)>) {
        let position = node.position();
        let place = format!("{}:{position}", self.file);
        let references = around.map(|(reference, index)| (reference, Target::Around(index)));
        let mut entity = Entity {
            kind,
            body: Body::new(),
            id: None,
            references: references.into_iter().collect(),
            mask: Mask::Open,
            place,
        };
        let Some(entries) = node.as_map() else {
            // `snis: [example.com]`
            match (node.as_str(), kinds::named_by(kind)) {
                (Some(name), Some(field)) if around.is_some() => {
                    entity.body.insert(field.to_owned(), name.into());
                    entity.mask = Mask::field(field, self.mask_of(node));
                    self.entities.push(entity);
                }
                _ => self.problem(position, format!("expected a mapping, got {}", node.type_name())),
            }
            return;
        };
        let index = self.entities.len();
        self.entities.push(entity);
        for entry in entries {
            self.entry(kind, index, entry);
        }
    }

    fn entry(&mut self, kind: Kind, index: usize, entry: &Entry) {
        let (name, value) = (&*entry.key.text, &entry.value);
        if matches!(name, "_comment" | "_ignore") || value.is_null() && kind.reference(name).is_some() {
            return;
        }
        if name == "id" {
            match value.as_str().filter(|id| is_identifier(id)) {
                Some(id) => self.entities[index].id = Some(id.to_owned()),
                None => self.problem(value.position(), "`id` must be a UUID".to_owned()),
            }
        } else if let Some(reference) = kind.reference(name) {
            self.reference(index, reference, value);
        } else if let Some((child, reference)) = child(kind, name) {
            self.children(child, reference, index, value);
        } else {
            let mask = Mask::field(name, self.mask_of(value));
            let entity = &mut self.entities[index];
            entity.body.insert(name.to_owned(), value.to_json());
            entity.mask = std::mem::take(&mut entity.mask).and(mask);
        }
    }

    /// `service: name`, `service: {name: ...}`, `consumer: {username: ...}`, `set: {id: ...}`.
    fn reference(&mut self, index: usize, reference: Refers, value: &Node) {
        let inner = ["id", "name", "username", "custom_id"].iter().find_map(|key| value.get(key)?.as_str());
        match value.as_str().or(inner) {
            Some(name) => {
                let target = Target::Named(name.to_owned());
                self.entities[index].references.push((reference, target));
            }
            None => {
                let message = format!("`{}` must be a name or an id", reference.field);
                self.problem(value.position(), message);
            }
        }
    }

    fn children(&mut self, child: Kind, reference: Refers, around: usize, value: &Node) {
        if value.is_null() {
            return;
        }
        let Some(items) = value.items() else {
            self.problem(value.position(), format!("expected a list, got {}", value.type_name()));
            return;
        };
        for item in items {
            if child.collection() == "consumer_group_consumers" {
                self.member(child, reference, around, item);
            } else {
                self.entity(child, item, Some((reference, around)));
            }
        }
    }

    /// `groups: [{name: gold}]` of a consumer, `consumers: [{username: alice}]` of a group: the item is the other side.
    fn member(&mut self, kind: Kind, around: Refers, index: usize, item: &Node) {
        let Some(other) = kind.refers().into_iter().find(|other| other.field != around.field) else { return };
        let member = self.entities.len();
        self.entities.push(Entity {
            kind,
            body: Body::new(),
            id: None,
            references: vec![(around, Target::Around(index))],
            mask: Mask::Open,
            place: format!("{}:{}", self.file, item.position()),
        });
        self.reference(member, other, item);
    }

    fn mask_of(&self, node: &Node) -> Mask {
        if self.hides { Mask::of_node(node) } else { Mask::Open }
    }

    fn problem(&mut self, position: Position, message: String) {
        self.problems.push(format!("{}:{position}: {message}", self.file));
    }
}

/// What a list inside an entity holds, and the field that it gives to each.
fn child(parent: Kind, name: &str) -> Option<(Kind, Refers)> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, of)| of);
    let collection = match (parent.collection(), name) {
        ("consumers", "groups") | ("consumer_groups", "consumers") => "consumer_group_consumers",
        (_, name) => name,
    };
    let kind = Kind::known().find(|kind| kind.collection() == collection)?;
    let to = |reference: &Refers| reference.nests && reference.to == parent.collection();
    kind.refers().into_iter().find(to).map(|reference| (kind, reference))
}

/// Whether a text can be an identifier, so that it can stand in a path.
pub(super) fn is_identifier(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests;
