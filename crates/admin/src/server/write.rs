//! A body → a row that is kept.
//!
//! Owns: what happens to an entity on its way into the store, and that nobody's change is lost: what is written is what
//! was read, changed; if somebody was faster, it is read again. Must not know: HTTP methods and paths (`crud` does).

use http::{StatusCode, header};
use postern_config::apply::hash;
use postern_config::store::{Expect, Kept, Key, Row, Step, StoreError, Write};
use postern_model::{Kind, Violation};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::call::Call;
use super::decode;
use super::error::Refusal;
use super::foreign::{self, refers_to};
use super::{Admin, derived, generated, merge, prepare, snis};

/// So often a write is tried again when others are faster.
const TRIES: usize = 10;

/// Which entity is to be written, and how.
#[derive(Clone, Debug)]
pub(crate) enum Aim {
    /// One that is not there.
    Create,
    /// Whatever is there.
    Replace(Place),
    /// What must be there.
    Merge(Place),
}

/// Where an entity is looked for.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// By its identifier.
    Id(Uuid),
    /// By what no other shares: the field that the path gives, its value, and the key of the store.
    Key(&'static str, String, Key),
}

impl Place {
    /// The row that is there.
    pub(crate) async fn find(&self, admin: &Admin, kind: Kind) -> Result<Option<Kept>, StoreError> {
        match self {
            Self::Id(id) => admin.store().get(kind.collection(), *id).await,
            Self::Key(_, _, key) => admin.store().find(kind.collection(), key).await,
        }
    }
}

/// The entity that the path names as the parent: the field that refers to it, and its identifier.
pub(crate) type Parent = Option<(&'static str, Uuid)>;

/// Writes an entity, and returns it as it is kept.
pub(crate) async fn save(call: &Call<'_>, kind: Kind, aim: &Aim, parent: Parent) -> Result<Row, Refusal> {
    if call.admin.node().about().is_db_less {
        return Err(db_less(kind, aim));
    }
    // Until it is written: the next one is judged together with it.
    let _turn = match kind.collection() {
        "vaults" => Some(call.admin.0.vaults.lock().await),
        _ => None,
    };
    for _ in 0..TRIES {
        let existing = match aim {
            Aim::Create => None,
            Aim::Replace(place) | Aim::Merge(place) => place.find(call.admin, kind).await?,
        };
        let elsewhere = |kept: &Kept| parent.is_some_and(|(field, id)| !refers_to(kept, field, id));
        if existing.as_ref().is_some_and(elsewhere) || existing.is_none() && matches!(aim, Aim::Merge(_)) {
            return Err(Refusal::NotFound);
        }
        expected(call, existing.as_ref())?;
        if matches!(aim, Aim::Merge(_)) && existing.as_ref().is_some_and(|kept| kept.unreadable.is_some()) {
            let message = "what is kept of it cannot be read, so that nothing can be changed in it";
            let violation =
                Violation::error("", None, message).with_hint("replace it as a whole, or delete it");
            return Err(Refusal::Schema(vec![violation]));
        }
        let expect = existing.as_ref().map_or(Expect::Absent, |kept| Expect::Version(kept.version));
        let given = given(call, kind, existing.as_ref())?;
        let is_new = existing.is_none();
        let draft = draft(call.admin, kind, aim, parent, existing, given).await?;
        let (row, steps) = draft.steps(call.admin, aim, expect).await?;
        let steps = prepare::steps(call.admin, steps).await?;
        let write = Write { steps: steps.clone(), revision: None, by: call.who.clone() };
        match call.admin.store().write(write).await {
            Ok(_) => return Ok(row),
            Err(StoreError::Stale) if matches!(aim, Aim::Create) => return Err(Refusal::Exists(row.id)),
            Err(StoreError::Stale) => {}
            // Somebody else has just made the one that the path names.
            Err(StoreError::NotUnique { key, .. })
                if is_new && matches!(aim, Aim::Replace(Place::Key(_, _, own)) if *own == key) => {}
            Err(error) => {
                let rows: Vec<&Row> = steps.iter().filter_map(prepare::of_put).collect();
                return Err(Refusal::of_write(error, &rows));
            }
        }
    }
    Err(Refusal::of_write(StoreError::Stale, &[]))
}

/// The tag of an entity as it is kept: another one after each change.
pub(crate) fn tag(row: &Row) -> String {
    format!("\"{}\"", hash(Value::from(row.body.clone()).to_string().as_bytes()))
}

/// That an entity is the one that the client has seen, if it says which (`If-Match`).
pub(crate) fn expected(call: &Call<'_>, existing: Option<&Kept>) -> Result<(), Refusal> {
    let Some(wanted) = call.headers.get(header::IF_MATCH) else { return Ok(()) };
    let tag = existing.map(|kept| tag(&kept.row));
    let is_tag = |one: &str| one.trim() == "*" || tag.as_deref() == Some(one.trim());
    match tag.is_some() && wanted.to_str().is_ok_and(|wanted| wanted.split(',').any(is_tag)) {
        true => Ok(()),
        false => Err(Refusal::Stale(StatusCode::PRECONDITION_FAILED)),
    }
}

/// What the body says, by the types of the fields. What it leaves out may be known from the one that is there.
fn given(call: &Call<'_>, kind: Kind, existing: Option<&Kept>) -> Result<Map<String, Value>, Refusal> {
    let known = existing.and_then(|kept| kept.row.body.get("name")).and_then(Value::as_str);
    Ok(decode::entity(call.content_type(), &call.body, kind, known, call.admin.node().plugins())?)
}

/// An entity on its way.
struct Draft {
    kind: Kind,
    id: Uuid,
    body: Map<String, Value>,
    /// Server names, where they are given.
    snis: Option<Vec<String>>,
    now: i64,
}

async fn draft(
    admin: &Admin,
    kind: Kind,
    aim: &Aim,
    parent: Parent,
    existing: Option<Kept>,
    given: Map<String, Value>,
) -> Result<Draft, Refusal> {
    let now = admin.now();
    let was = existing.map(|kept| (kept.row.id, kept.row.body));
    let known = match (&was, aim) {
        (Some((id, _)), _) | (None, Aim::Replace(Place::Id(id))) => Some(*id),
        _ => None,
    };
    let created = was.as_ref().and_then(|(_, body)| body.get("created_at").cloned());
    let mut body = match (aim, was) {
        (Aim::Merge(_), Some((_, base))) => merge::merged(kind, base, given, admin.node().plugins()),
        _ => given,
    };
    let id = identify(&mut body, known)?;
    if let Aim::Replace(Place::Key(field, value, _)) = aim {
        body.insert((*field).to_owned(), value.as_str().into());
    }
    if body.get("created_at").is_none_or(Value::is_null) {
        body.insert("created_at".to_owned(), created.unwrap_or_else(|| now.into()));
    }
    if let Some((field, id)) = parent {
        body.insert(field.to_owned(), json!({ "id": id }));
    }
    let snis = snis::take(kind, &mut body)?;
    generated::fill_in(kind, &mut body)?;
    let mut body = checked(admin, kind, body).map_err(|violations| blame(aim, violations))?;
    foreign::resolve(Some(admin), kind, &mut body).await?;
    let mut body = derived::settled(admin, kind, body).await?;
    body.insert("id".to_owned(), id.to_string().into());
    if kind.has_updated_at() {
        body.insert("updated_at".to_owned(), now.into());
    }
    Ok(Draft { kind, id, body, snis, now })
}

/// Whether an entity would be taken, as far as that depends on itself alone: which others there are is not looked at.
pub(crate) async fn validate(call: &Call<'_>, kind: Kind) -> Result<(), Refusal> {
    let admin = call.admin;
    let mut body = given(call, kind, None)?;
    let names = snis::take(kind, &mut body)?.unwrap_or_default();
    generated::fill_in(kind, &mut body)?;
    let mut body = checked(admin, kind, body).map_err(Refusal::Schema)?;
    let id = identify(&mut body, None)?;
    foreign::resolve(None, kind, &mut body).await?;
    let body = derived::settled(admin, kind, body).await?;
    let mut steps = vec![Step::Put(Row::of(kind, id, body), Expect::Any)];
    for name in &names {
        steps.push(Step::Put(snis::row(id, name, admin.now())?, Expect::Any));
    }
    prepare::steps(admin, steps).await?;
    Ok(())
}

/// Its identifier: that of the place, or what the body says, or a new one.
fn identify(body: &mut Map<String, Value>, known: Option<Uuid>) -> Result<Uuid, Refusal> {
    let wrong = |message: &str| Refusal::Schema(vec![Violation::error("id", None, message)]);
    let said = match body.get("id") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            Some(foreign::identifier(text).ok_or_else(|| wrong("expected a valid UUID"))?)
        }
        Some(_) => return Err(wrong("expected a string")),
    };
    if let (Some(said), Some(known)) = (said, known)
        && said != known
    {
        return Err(wrong("must be that of the entity in the path"));
    }
    let id = known.or(said).unwrap_or_else(Uuid::new_v4);
    body.insert("id".to_owned(), id.to_string().into());
    Ok(id)
}

/// Checks a body that was given, and fills in every default.
pub(crate) fn checked(
    admin: &Admin,
    kind: Kind,
    mut body: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Violation>> {
    foreign::tidy(kind, &mut body);
    kind.check(&body, admin.node().plugins()).map(|checked| checked.body)
}

/// A name in the path that is none is told in other words than one in the body.
fn blame(aim: &Aim, violations: Vec<Violation>) -> Refusal {
    if let (Aim::Replace(Place::Key(field, ..)), [violation]) = (aim, violations.as_slice())
        && violation.path == *field
    {
        return Refusal::Unique(field, violation.message.clone());
    }
    Refusal::Schema(violations)
}

impl Draft {
    /// The row, and all that is to be done at once.
    async fn steps(self, admin: &Admin, aim: &Aim, expect: Expect) -> Result<(Row, Vec<Step>), Refusal> {
        let Self { kind, id, body, snis, now } = self;
        let row = Row::of(kind, id, body);
        if kind.collection() == "vaults" {
            vaults_together(admin, &row).await?;
        }
        let mut steps = vec![Step::Put(row.clone(), expect)];
        let names = match (kind.collection(), snis, aim) {
            ("certificates", Some(names), _) => Some(names),
            // Whoever replaces a certificate without naming any leaves it none.
            ("certificates", None, Aim::Replace(_)) => Some(Vec::new()),
            _ => None,
        };
        if let Some(names) = names {
            steps.extend(snis::steps(admin, id, &names, now).await?);
        }
        Ok((row, steps))
    }
}

/// Vaults may need each other, but not in a circle.
async fn vaults_together(admin: &Admin, row: &Row) -> Result<(), Refusal> {
    let mut vaults = super::crud::all(admin, "vaults", None).await?;
    // One that is wrong by itself stands in the way of no other.
    let plugins = admin.node().plugins();
    let is_sound =
        |vault: &Row| Kind::named("vaults").is_some_and(|kind| kind.check(&vault.body, plugins).is_ok());
    vaults.retain(|vault| vault.id != row.id && is_sound(vault));
    let bodies = vaults.iter().chain([row]).map(|vault| ("vaults", &vault.body));
    let Err(violations) = postern_model::check::rows(bodies, admin.node().plugins()) else { return Ok(()) };
    // Paths begin with the vault: `vaults[my-env].config.token`.
    let prefix = row.body.get("prefix").and_then(Value::as_str).unwrap_or_default();
    let own = format!("vaults[{prefix}]");
    let told = violations.into_iter().map(|mut violation| {
        if let Some(rest) = violation.path.strip_prefix(&own) {
            violation.path = rest.trim_start_matches('.').to_owned();
        } else {
            violation.message = format!("{}: {}", violation.path, violation.message);
            violation.path = "config".to_owned();
        }
        violation
    });
    Err(Refusal::Schema(told.collect()))
}

/// What Kong says of writes without a database.
fn db_less(kind: Kind, aim: &Aim) -> Refusal {
    let (verb, place) = match aim {
        Aim::Create => ("create", None),
        Aim::Replace(place) => ("create or update", Some(place)),
        Aim::Merge(place) => ("update", Some(place)),
    };
    unsupported(kind, verb, place)
}

/// `cannot update 'services' entities by 'name' when not using a database`
pub(crate) fn unsupported(kind: Kind, verb: &str, place: Option<&Place>) -> Refusal {
    let by = match place {
        Some(Place::Key(field, ..)) => format!(" by '{field}'"),
        _ => String::new(),
    };
    Refusal::Unsupported(format!(
        "cannot {verb} '{}' entities{by} when not using a database",
        kind.collection()
    ))
}
