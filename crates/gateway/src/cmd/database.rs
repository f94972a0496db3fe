//! `postern config export` and `import`: from the database to a kong.yaml and back, without a running node.
//!
//! Owns: what is written and read where. Must not know: how a file is laid out, how rows are kept. Credentials are in
//! clear in an export, as they are in the database: nobody but its owner may read it.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use postern_admin::{client, server};
use postern_config::store::{Expect, Row, Step, Store, StoreError, Write};
use postern_model::Kind;
use postern_secrets::clock::Clock;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::vault::println;
use crate::boot::{self, Told};
use crate::cli::Options;
use crate::report::{Failure, Refused};
use crate::serve;

/// Writes all that the database holds.
pub(super) async fn export(options: &Options, output: &Path) -> Result<ExitCode> {
    let told = boot::told(options).await?;
    let (_, rows) = store(&told).await?.all().await.map_err(failed)?;
    let (rows, unreadable): (Vec<_>, Vec<_>) = rows.into_iter().partition(|kept| kept.unreadable.is_none());
    for kept in unreadable {
        tracing::warn!("{} {} is left out: its body cannot be read", kept.row.kind, kept.row.id);
    }
    let entities = rows.into_iter().map(|kept| (kept.row.kind, kept.row.body)).collect();
    let text = client::to_yaml(&client::export(entities));
    if output == Path::new("-") {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
    } else {
        super::sync::write_private(output, &text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts what a file says into the database: all of it or nothing. What is there and not in the file stays. Nodes notice.
pub(super) async fn import(options: &Options, file: PathBuf) -> Result<ExitCode> {
    let told = boot::told(options).await?;
    let loaded = boot::load(&told.settings, Some(&file)).await?;
    let Some(loaded) = loaded else {
        return Err(Failure::new("there is no file to read", "name one").into());
    };
    let violations = serve::problems(&told.settings, &told.trust, &loaded.checked.snapshot)?;
    if !violations.is_empty() {
        return Err(Refused { file: loaded.name, violations }.into());
    }
    let store = store(&told).await?;
    let mut steps = Vec::new();
    let mut said: HashMap<&str, usize> = HashMap::new();
    for (kind, mut body) in loaded.checked.flat() {
        let kind = Kind::named(kind).ok_or_else(|| anyhow::anyhow!("no such kind of entity: {kind}"))?;
        let name = || format!("{}[{}]", kind.collection(), body.get("id").unwrap_or(&Json::Null));
        let refused =
            |violation| Refused { file: format!("{}: {}", loaded.name, name()), violations: vec![violation] };
        let mut settled = body.clone();
        server::settle(kind, &mut settled).map_err(refused)?;
        body = settled;
        let Some(id) = body.get("id").and_then(Json::as_str).and_then(|id| Uuid::try_parse(id).ok()) else {
            continue;
        };
        let before = store.get(kind.collection(), id).await.map_err(failed)?;
        steps.push(Step::Put(dated(kind, id, body, before.map(|kept| kept.row).as_ref()), Expect::Any));
        *said.entry(kind.collection()).or_default() += 1;
    }
    let count = steps.len();
    let write = Write { steps, revision: None, by: "postern config import".to_owned() };
    store.write(write).await.map_err(failed)?;
    println(&format!("{count} entities are in the database ({})", store.name()))?;
    for kind in Kind::all() {
        if let Some(count) = said.get(kind.collection()) {
            println(&format!("  {:32}{count}", kind.collection()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The row with its times: that of its creation is kept where it was there before.
fn dated(kind: Kind, id: Uuid, mut body: Map<String, Json>, before: Option<&Row>) -> Row {
    let now = Json::from(Clock::system().now());
    if body.get("created_at").is_none_or(Json::is_null) {
        let created = before.and_then(|row| row.body.get("created_at")).filter(|time| !time.is_null());
        body.insert("created_at".to_owned(), created.unwrap_or(&now).clone());
    }
    if kind.has_updated_at() {
        body.insert("updated_at".to_owned(), now);
    }
    Row::of(kind, id, body)
}

async fn store(told: &Told) -> Result<Arc<dyn Store>> {
    told.store().await?.ok_or_else(|| {
        Failure::new(
            "there is no database: the configuration is a file",
            "the setting database says sqlite or postgres where there is one",
        )
        .into()
    })
}

fn failed(error: StoreError) -> Failure {
    let hint = match &error {
        StoreError::NotUnique { .. } => {
            "an entity with another identifier is there already; `postern sync` brings such together"
        }
        _ => "is the database there? postern migrations list says how it is",
    };
    Failure::new(error.to_string(), hint)
}
