//! What a node's configuration comes from: a file that a person writes, or a store that the Admin API writes.
//!
//! Owns: which of them it is, and how documents are read here: with the node's settings and environment. Must not know: when
//! there is something new (`postern_config::source` does), what it is made into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use postern_config::apply::Apply;
use postern_config::source::document::DbLess;
use postern_config::source::feed::StoreFeed;
use postern_config::source::file::{FileSource, Reader, Watch};
use postern_config::source::store::{Followed, StoreSource};
use postern_config::source::{Loaded, Source};
use postern_config::store::Store;
use postern_config::transact::Read;
use postern_model::{Snapshot, Violation};
use postern_plugins::registry::Registry;
use tokio::runtime::Handle;

use crate::boot::{self, Kept};
use crate::report::{Failure, Refused};
use crate::serve::Serve;

/// Where a configuration comes from.
pub(crate) struct From {
    pub(crate) source: Box<dyn Source>,
    /// Without a database: where the document in effect is shown.
    pub(crate) shown: Option<Arc<DbLess>>,
    /// Without a database: the first document.
    pub(crate) document: Option<Loaded>,
}

/// Opens it. `watched` is the file that may change, if there is one; a store is read on the runtime `io`.
///
/// # Errors
/// A store that cannot be read.
pub(crate) async fn open(
    kept: Kept,
    watched: Option<PathBuf>,
    apply: &Arc<Apply<Serve>>,
    shown: Option<Arc<DbLess>>,
    io: Handle,
) -> Result<From, Failure> {
    match kept {
        Kept::Document(document) => {
            let current = Arc::clone(apply);
            let in_effect = move || current.state().current.map(|current| current.hash);
            let reader = FromSettings(Arc::clone(apply));
            let source = FileSource::new(watched.map(Watch::new), reader, in_effect);
            Ok(From { source: Box::new(source), shown, document: Some(*document) })
        }
        Kept::Store(store) => {
            let followed = followed(store, io).await?;
            Ok(From { source: Box::new(StoreSource::new(followed)), shown: None, document: None })
        }
    }
}

async fn followed(store: Arc<dyn Store>, io: Handle) -> Result<Followed, Failure> {
    let feed = Arc::new(StoreFeed::new(store, io));
    Followed::read(feed, Box::new(Registry::bundled())).await.map_err(|error| {
        Failure::new(error.to_string(), "is the database there? postern migrations list says how it is")
    })
}

/// Reads documents that come by the Admin API.
pub(crate) fn read(apply: Arc<Apply<Serve>>) -> Read {
    Box::new(move |document| {
        let serve = apply.effect();
        let more: boot::More<'_> = &|snapshot: &Snapshot| serve.problems(snapshot);
        boot::check(serve.settings(), "the Admin API".to_owned(), document, more).map_err(violations)
    })
}

/// Reads the file that the settings name.
struct FromSettings(Arc<Apply<Serve>>);

#[async_trait]
impl Reader for FromSettings {
    async fn read(&self) -> Result<Option<Loaded>, Vec<Violation>> {
        boot::load(self.0.effect().settings(), None::<&Path>).await.map_err(violations)
    }
}

/// Why a document cannot be used.
pub(crate) fn violations(error: anyhow::Error) -> Vec<Violation> {
    match error.downcast::<Refused>() {
        Ok(refused) => refused.violations,
        Err(error) => vec![Violation::error("", None, error.to_string())],
    }
}
