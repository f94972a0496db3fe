//! A store and a node in memory, and a client that knows what is right of every answer.
//!
//! Owns: the smallest store that keeps what `postern_config::store` promises. Must not know: what is tested.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use postern_admin::server::route::Peer;
use postern_admin::server::{
    About, AddressHealth, Admin, AdminOptions, Applied, Counts, Node, TargetHealth, UpstreamHealth, router,
};
use postern_config::store::{
    Change, Changes, Expect, Filter, Kept, Key, OnDelete, Page, Revision, Row, Select, Step, Store,
    StoreError, Tags, Write, Written,
};
use postern_model::field::Plugins;
use postern_model::{Kind, Violation};
use postern_plugins::registry::Registry;
use postern_secrets::clock::Clock;
use postern_secrets::rotate::Engine;
use serde_json::{Map, Value, json};
use tower_service::Service;
use uuid::Uuid;

/// Rows in memory.
#[derive(Debug, Default)]
pub(crate) struct Double {
    state: Mutex<State>,
    /// What the node has prepared: kind, identifier, body.
    prepared: Mutex<HashSet<(String, Uuid, String)>>,
    told: tokio::sync::Notify,
}

#[derive(Clone, Debug, Default)]
struct State {
    rows: BTreeMap<(String, Uuid), Kept>,
    revision: Revision,
    history: Vec<Change>,
}

impl State {
    fn step(&mut self, step: Step, by: &str) -> Result<u64, StoreError> {
        match step {
            Step::Put(row, expect) => self.put(row, expect, by).map(|()| 0),
            Step::Delete { kind, id } => self.delete(&kind, id, by),
        }
    }

    fn change(&mut self, kind: &str, id: Uuid, deleted: bool, by: &str) {
        self.revision += 1;
        let (revision, kind, by) = (self.revision, kind.to_owned(), by.to_owned());
        self.history.push(Change { revision, kind, id, deleted, at: 0, by });
    }

    fn put(&mut self, row: Row, expect: Expect, by: &str) -> Result<(), StoreError> {
        let place = (row.kind.clone(), row.id);
        let there = self.rows.get(&place).map(|kept| kept.version);
        let fits = match expect {
            Expect::Any => true,
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there == Some(version),
        };
        if !fits {
            return Err(StoreError::Stale);
        }
        for key in &row.keys {
            let other = self.rows.values().find(|kept| {
                kept.row.kind == row.kind && kept.row.id != row.id && kept.row.keys.contains(key)
            });
            if let Some(other) = other {
                let (kind, key, holder) = (row.kind.clone(), key.clone(), other.row.id);
                return Err(StoreError::NotUnique { kind, key, holder });
            }
        }
        for reference in &row.references {
            if !self.rows.contains_key(&(reference.kind.clone(), reference.id)) {
                let (kind, id, reference) = (reference.kind.clone(), reference.id, reference.clone());
                return Err(StoreError::Dangling { kind, id, reference });
            }
        }
        self.change(&row.kind, row.id, false, by);
        self.rows.insert(place, Kept { row, version: self.revision, unreadable: None });
        Ok(())
    }

    fn delete(&mut self, kind: &str, id: Uuid, by: &str) -> Result<u64, StoreError> {
        if self.rows.remove(&(kind.to_owned(), id)).is_none() {
            return Ok(0);
        }
        self.change(kind, id, true, by);
        let mut deleted = 1;
        let users: Vec<_> = self
            .rows
            .values()
            .filter_map(|kept| {
                let refers = |r: &&postern_config::store::Reference| r.kind == kind && r.id == id;
                let reference = kept.row.references.iter().find(refers)?;
                Some((kept.row.kind.clone(), kept.row.id, reference.on_delete))
            })
            .collect();
        for (by_kind, by_id, on_delete) in users {
            if on_delete == OnDelete::Restrict {
                return Err(StoreError::Referenced { kind: kind.to_owned(), id, by: by_kind, by_id });
            }
            deleted += self.delete(&by_kind, by_id, by)?;
        }
        Ok(deleted)
    }
}

impl Double {
    /// Whoever writes by the Admin API has had every row prepared, as it is kept.
    fn was_prepared(&self, step: &Step, by: &str) {
        let Step::Put(row, _) = step else { return };
        let what = (row.kind.clone(), row.id, Value::from(row.body.clone()).to_string());
        assert!(by == DOCUMENT || self.prepared.lock().unwrap().contains(&what), "not prepared: {what:?}");
    }
}

/// Who writes what [`Stub::load`] puts there, which prepares it in another way.
const DOCUMENT: &str = "document";

#[async_trait]
impl Store for Double {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, kind: &str, id: Uuid) -> Result<Option<Kept>, StoreError> {
        tokio::task::yield_now().await;
        Ok(self.state.lock().unwrap().rows.get(&(kind.to_owned(), id)).cloned())
    }

    async fn find(&self, kind: &str, key: &Key) -> Result<Option<Kept>, StoreError> {
        tokio::task::yield_now().await;
        let state = self.state.lock().unwrap();
        Ok(state.rows.values().find(|kept| kept.row.kind == kind && kept.row.keys.contains(key)).cloned())
    }

    async fn page(&self, select: &Select) -> Result<Page, StoreError> {
        tokio::task::yield_now().await;
        let state = self.state.lock().unwrap();
        let fits = |kept: &&Kept| {
            let row = &kept.row;
            let filter = match &select.filter {
                None => true,
                Some(Filter::Key(key)) => row.keys.contains(key),
                Some(Filter::RefersTo { field, id }) => {
                    row.references.iter().any(|reference| reference.field == *field && reference.id == *id)
                }
            };
            let tags = match &select.tags {
                None => true,
                Some(Tags::All(tags)) => tags.iter().all(|tag| row.tags.contains(tag)),
                Some(Tags::Any(tags)) => tags.iter().any(|tag| row.tags.contains(tag)),
            };
            row.kind == select.kind && select.after.is_none_or(|after| row.id > after) && filter && tags
        };
        let mut rows: Vec<Kept> = state.rows.values().filter(fits).cloned().collect();
        let more = rows.len() > select.size;
        rows.truncate(select.size);
        Ok(Page { rows, more })
    }

    async fn all(&self) -> Result<(Revision, Vec<Kept>), StoreError> {
        let state = self.state.lock().unwrap();
        Ok((state.revision, state.rows.values().cloned().collect()))
    }

    async fn since(&self, revision: Revision) -> Result<Option<Changes>, StoreError> {
        let state = self.state.lock().unwrap();
        if revision > state.revision {
            return Ok(None);
        }
        let changes = state.history.iter().filter(|change| change.revision > revision).cloned().collect();
        Ok(Some(Changes { revision: state.revision, changes, rows: Vec::new() }))
    }

    async fn changed(&self, revision: Revision) {
        loop {
            let told = self.told.notified();
            if self.state.lock().unwrap().revision != revision {
                return;
            }
            told.await;
        }
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        tokio::task::yield_now().await;
        let mut state = self.state.lock().unwrap();
        if write.revision.is_some_and(|revision| revision != state.revision) {
            return Err(StoreError::Stale);
        }
        let mut next = state.clone();
        let mut deleted = 0;
        for step in write.steps {
            self.was_prepared(&step, &write.by);
            deleted += next.step(step, &write.by)?;
        }
        *state = next;
        self.told.notify_waiters();
        Ok(Written { revision: state.revision, deleted })
    }

    async fn history(&self, size: usize) -> Result<Vec<Change>, StoreError> {
        Ok(self.state.lock().unwrap().history.iter().rev().take(size).cloned().collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A node that serves nothing.
pub(crate) struct Stub {
    pub(crate) about: About,
    pub(crate) store: Arc<Double>,
    pub(crate) engine: Option<Engine>,
    pub(crate) document: Mutex<Option<String>>,
    pub(crate) switched: Mutex<Vec<(String, Option<String>, bool)>>,
    /// Why an entity cannot be made, if it cannot.
    pub(crate) refuses: Mutex<Refuses>,
}

/// The kind and the body of an entity → what is wrong with it: a path, and a message.
pub(crate) type Refuses = fn(&str, &Map<String, Value>) -> Option<(&'static str, &'static str)>;

#[async_trait]
impl Node for Stub {
    fn about(&self) -> About {
        self.about.clone()
    }

    fn plugins(&self) -> &dyn Plugins {
        const BUNDLED: &Registry = &Registry::bundled();
        BUNDLED
    }

    fn engine(&self) -> Option<Engine> {
        self.engine.clone()
    }

    fn counts(&self) -> Counts {
        Counts { accepted: 3, active: 1, requests: 5 }
    }

    fn applied(&self) -> Applied {
        Applied { revision: self.store.state.lock().unwrap().revision, ..Applied::default() }
    }

    fn health(&self, _: Uuid) -> Option<UpstreamHealth> {
        let address = |health| AddressHealth { ip: [127, 0, 0, 1].into(), port: 8000, weight: 100, health };
        let target = |target: &str, health| TargetHealth {
            target: target.to_owned(),
            health,
            addresses: vec![address(health)],
        };
        Some(UpstreamHealth {
            is_well: true,
            targets: vec![target("a:8000", "HEALTHY"), target("b:1", "UNHEALTHY")],
        })
    }

    fn set_health(&self, _: Uuid, target: &str, address: Option<&str>, is_well: bool) -> bool {
        let switched = (target.to_owned(), address.map(ToOwned::to_owned), is_well);
        self.switched.lock().unwrap().push(switched);
        address.is_none_or(|address| address == "127.0.0.1:8000")
    }

    fn prepare(&self, kind: Kind, id: Uuid, body: &Map<String, Value>) -> Result<(), Vec<Violation>> {
        let refuses = *self.refuses.lock().unwrap();
        if let Some((path, message)) = refuses(kind.collection(), body) {
            return Err(vec![Violation::error(path, None, message)]);
        }
        let what = (kind.collection().to_owned(), id, Value::from(body.clone()).to_string());
        self.store.prepared.lock().unwrap().insert(what);
        Ok(())
    }

    fn document(&self) -> Option<String> {
        self.document.lock().unwrap().clone()
    }

    async fn load(&self, document: &[u8]) -> Result<(), Vec<Violation>> {
        let read = postern_model::read(document, &|_| None)?;
        let checked = postern_model::check(read, self.plugins())?;
        let service = |entry: &Arc<postern_model::Entry<postern_model::entity::Service>>| {
            let Value::Object(body) = entry.record.to_json() else { panic!("a record") };
            Row::of(Kind::named("services").unwrap(), entry.id, body)
        };
        let rows: Vec<Row> = checked.snapshot.services.iter().map(service).collect();
        let steps = rows.into_iter().map(|row| Step::Put(row, Expect::Any)).collect();
        let write = Write { steps, revision: None, by: DOCUMENT.to_owned() };
        self.store.write(write).await.unwrap();
        *self.document.lock().unwrap() = Some(String::from_utf8(document.to_vec()).unwrap());
        Ok(())
    }
}

/// An Admin API, and what it runs on.
pub(crate) struct Api {
    pub(crate) admin: Admin,
    pub(crate) node: Arc<Stub>,
    peer: Option<Peer>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The message of a refusal.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The identifier of an entity.
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// Seconds since 1970, one more with each look: so that nothing depends on how fast a test runs.
fn clock() -> Clock {
    let seconds = AtomicU64::new(1_800_000_000);
    Clock::of(move || Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn about() -> About {
    About {
        hostname: "host".to_owned(),
        node_id: Uuid::from_u128(7),
        version: "0.1.0".to_owned(),
        router_flavor: "traditional_compatible".to_owned(),
        is_db_less: false,
        settings: json!({"admin_listen": "127.0.0.1:8001"}).as_object().cloned().unwrap(),
    }
}

impl Api {
    /// One with an empty database, for those at the machine itself.
    pub(crate) fn new() -> Self {
        Self::with(about(), AdminOptions::default(), None)
    }

    /// One without a database.
    pub(crate) fn db_less() -> Self {
        Self::with(About { is_db_less: true, ..about() }, AdminOptions::default(), None)
    }

    pub(crate) fn with(about: About, options: AdminOptions, engine: Option<Engine>) -> Self {
        let store = Arc::new(Double::default());
        let (document, switched) = (Mutex::default(), Mutex::default());
        let refuses: Mutex<Refuses> = Mutex::new(|_, _| None);
        let node = Arc::new(Stub { about, store: Arc::clone(&store), engine, document, switched, refuses });
        let admin = Admin::new(store, Arc::clone(&node) as Arc<dyn Node>, clock(), options);
        let peer = Some(Peer { address: [127, 0, 0, 1].into(), certificate: None });
        Self { admin, node, peer }
    }

    /// Any request. What holds for every answer is looked at here.
    pub(crate) async fn send(&self, request: Request<Body>) -> http::Response<Body> {
        let mut request = request;
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", "localhost:8001".parse().unwrap());
        }
        let answered: Result<_, Infallible> = router(self.admin.clone()).call(request).await;
        answered.unwrap()
    }

    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, body) = self.send(request.body(body.into()).unwrap()).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let is_fault = parts.status.is_server_error() && parts.status != StatusCode::SERVICE_UNAVAILABLE;
        assert!(!is_fault, "{method} {path}: {} {shown}", parts.status);
        assert!(parts.headers["server"].to_str().unwrap().starts_with("postern/"), "{method} {path}");
        assert!(parts.headers.contains_key("x-kong-admin-latency"), "{method} {path}");
        assert_eq!(parts.headers["x-content-type-options"], "nosniff", "{method} {path}");
        let has_none = matches!(parts.status.as_u16(), 204 | 304) || method == "HEAD";
        assert_eq!(bytes.is_empty(), has_none, "{method} {path}: {} {shown}", parts.status);
        let body = match has_none {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{method} {path}: {shown}")),
        };
        if parts.status.as_u16() >= 400 && !has_none {
            assert!(body["message"].is_string(), "{method} {path}: {body}");
        }
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        match body {
            Value::Null => self.raw(method, path, &[], Body::empty()).await,
            body => self.raw(method, path, &[("content-type", "application/json")], body.to_string()).await,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await
    }

    /// Sends it, and sees that it was done.
    pub(crate) async fn done(&self, method: &str, path: &str, body: Value) -> Answer {
        let answer = self.ask(method, path, body.clone()).await;
        assert!(answer.status < 300, "{method} {path} {body}: {answer:?}");
        answer
    }
}
