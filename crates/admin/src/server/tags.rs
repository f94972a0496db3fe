//! Entities by their tags, whatever their kind: `/tags`, `/tags/{tag}`.
//!
//! Owns: pages that go on from one kind to the next. Must not know: kinds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_config::store::{Select, Tags};
use postern_model::Kind;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::{Answered, Call};
use super::error::Refusal;
use super::page::{self, SIZE_MAX};

/// Behind what a page begins: the kind by its place among all, the entity, and how many of its tags were told.
#[derive(Clone, Copy, Default)]
struct Behind {
    kind: u8,
    entity: Option<Uuid>,
}

impl Behind {
    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (kind, rest) = bytes.split_first()?;
        let entity = if rest.is_empty() { None } else { Some(Uuid::from_slice(rest).ok()?) };
        Some(Self { kind: *kind, entity })
    }

    fn written(self) -> String {
        let mut bytes = vec![self.kind];
        bytes.extend(self.entity.iter().flat_map(Uuid::as_bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// One line for each tag of each entity; of one tag, if it is in the path.
pub(crate) async fn tags(call: &Call<'_>, is_one: bool) -> Answered {
    let size = page::size(call)?;
    let wanted = is_one.then(|| call.parameter(0).to_owned());
    let mut behind = match call.argument("offset") {
        None => Behind::default(),
        Some(text) => Behind::read(text).ok_or_else(|| Refusal::Offset(text.chars().take(100).collect()))?,
    };
    let kinds = Kind::all();
    let mut data: Vec<Value> = Vec::new();
    while let Some(kind) = kinds.get(usize::from(behind.kind)) {
        let select = Select {
            kind: kind.collection().to_owned(),
            after: behind.entity,
            size: SIZE_MAX,
            filter: None,
            tags: wanted.as_ref().map(|tag| Tags::All(vec![tag.clone()])),
        };
        let found = call.admin.store().page(&select).await?;
        for kept in &found.rows {
            // An entity is told whole, so a page may be a little longer than asked for.
            if data.len() >= size {
                return page::page(call, &path(call, is_one), data, Some(behind.written()));
            }
            let tags = kept.row.tags.iter().filter(|tag| wanted.as_ref().is_none_or(|wanted| wanted == *tag));
            data.extend(tags.map(
                |tag| json!({ "entity_name": kind.collection(), "entity_id": kept.row.id, "tag": tag }),
            ));
            behind.entity = Some(kept.row.id);
        }
        if !found.more {
            behind = Behind { kind: behind.kind + 1, entity: None };
        }
    }
    page::page(call, &path(call, is_one), data, None)
}

fn path(call: &Call<'_>, is_one: bool) -> String {
    match is_one {
        true => {
            let tag: String = form_urlencoded::byte_serialize(call.parameter(0).as_bytes()).collect();
            format!("/tags/{tag}")
        }
        false => "/tags".to_owned(),
    }
}
