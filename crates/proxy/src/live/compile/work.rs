//! One compilation: what the files beside this one share.
//!
//! Owns: which entity hangs on which slot, and what becomes of those that cannot be made. Everything here reads what is in
//! effect, and writes nothing but itself: dropping it leaves no trace. Must not know: any kind of entity.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use postern_model::{Entry, Snapshot};
use postern_plugins::logging::secret_values::SecretValues;
use postern_plugins::plan::Instance;
use postern_secrets::Template;
use postern_secrets::bundle::{Bundle, Filled};
use postern_secrets::rotate::Candidate;
use postern_secrets::slot::{Derived, Made};
use tokio::sync::Notify;
use uuid::Uuid;

use super::plugins::{Finisher, Prepared as PreparedPlugin};
use super::{Kept, Maker, Problem};
use crate::balance::Balancer;
use crate::live::known::Before;
use crate::live::{Cell, Route, ServiceRef};
use crate::tls::Certificates;
use postern_plugins::directory::Directory;
use postern_router::Router;

/// The references of a configuration that may come, and who is to be told when one changes.
pub(super) struct Secrets<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) finisher: &'a Arc<Finisher>,
    /// Of each entity with references.
    pub(super) bundles: HashMap<Uuid, Bundle>,
    changed: &'a Arc<Notify>,
    /// Whether a change from now on tells that the index is to be made again.
    armed: Arc<AtomicBool>,
}

/// One compilation.
pub(super) struct Work<'a> {
    pub(super) maker: &'a Maker,
    /// What is in effect.
    pub(super) before: Option<&'a Kept>,
    /// None where nothing is to be resolved.
    pub(super) secrets: Option<Secrets<'a>>,
    /// What index entities are made of; kept, or nobody would tell of changes.
    pub(super) held: Vec<Arc<dyn Any + Send + Sync>>,
    /// By name, for status and metrics.
    pub(super) upstreams: Vec<(String, Weak<Balancer>)>,
    /// All that are in use.
    pub(super) balancers: Vec<Used>,
    /// Where among them those of single hosts are.
    pub(super) singles: HashMap<(String, u16), usize>,
    pub(super) problems: Vec<Problem>,
    /// What is to be told when it takes effect.
    pub(super) notes: Vec<Note>,
}

/// A balancer in use, and what it is found by.
pub(super) enum Used {
    Upstream(Uuid, Arc<Balancer>),
    Single((String, u16), Arc<Balancer>),
}

/// What does not work yet, for the log.
pub(super) struct Note {
    pub(super) path: String,
    pub(super) line: u32,
    pub(super) reason: String,
    pub(super) consequence: &'static str,
}

/// What was made, but for plugins: these are finished when all takes effect.
pub(super) struct PartsOfLive {
    pub(super) router: Router,
    /// By the numbers that the router gives; their plans come later.
    pub(super) routes: Vec<Route>,
    pub(super) plugins: Vec<PreparedPlugin>,
    pub(super) closed: Vec<Instance>,
    pub(super) services: HashMap<Uuid, Arc<ServiceRef>>,
    pub(super) directory: Arc<Directory>,
    pub(super) known: Option<Before>,
    pub(super) certificates: Certificates,
}

/// All that a compilation came to.
pub(super) struct Done {
    pub(super) parts: PartsOfLive,
    pub(super) bundles: HashMap<Uuid, Bundle>,
    pub(super) held: Vec<Arc<dyn Any + Send + Sync>>,
    pub(super) upstreams: Vec<(String, Weak<Balancer>)>,
    pub(super) balancers: Vec<Used>,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Note>,
}

impl Used {
    pub(super) fn balancer(&self) -> &Arc<Balancer> {
        match self {
            Self::Upstream(_, balancer) | Self::Single(_, balancer) => balancer,
        }
    }
}

impl<'a> Secrets<'a> {
    pub(super) fn of(
        candidate: &'a Candidate,
        snapshot: &Snapshot,
        changed: &'a Arc<Notify>,
        finisher: &'a Arc<Finisher>,
    ) -> Self {
        let mut pending: Vec<(Uuid, Vec<&Template>)> = Vec::new();
        macro_rules! add {
            ($($list:ident: $entity:ty $(, $lean:ident)?;)*) => {
                $(if snapshot.$list.has_pending() {
                    let entries = snapshot.$list.iter().filter(|entry| entry.value.is_none());
                    pending.extend(entries.map(|entry| (entry.id, entry.templates())));
                })*
            };
        }
        postern_model::each_list!(add);
        let bundles = candidate.bundles(pending.iter().map(|(_, templates)| templates.iter().copied()));
        let bundles = pending.iter().map(|(id, _)| *id).zip(bundles).collect();
        Self { candidate, finisher, bundles, changed, armed: Arc::default() }
    }
}

impl<'a> Work<'a> {
    pub(super) fn new(maker: &'a Maker, before: Option<&'a Kept>, secrets: Option<Secrets<'a>>) -> Self {
        Self {
            maker,
            before,
            secrets,
            held: Vec::new(),
            upstreams: Vec::new(),
            balancers: Vec::new(),
            singles: HashMap::new(),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Everything but the last step of plugins.
    pub(super) fn parts(&mut self, snapshot: &Snapshot) -> PartsOfLive {
        let index = self.index(snapshot);
        let services = self.services(snapshot, &index);
        let certificates = self.certificates(snapshot);
        let (directory, known) = self.consumers(snapshot);
        let (router, routes) = self.routes(snapshot, &services);
        let plugins = snapshot.plugins.iter().map(|entry| self.plugin(entry)).collect();
        let closed = self.closed_instances(snapshot);
        PartsOfLive { router, routes, plugins, closed, services, directory, known, certificates }
    }

    pub(super) fn done(self, parts: PartsOfLive) -> Done {
        let Self { secrets, held, upstreams, balancers, problems, notes, .. } = self;
        let bundles = secrets.map(|secrets| secrets.bundles).unwrap_or_default();
        Done { parts, bundles, held, upstreams, balancers, problems, notes }
    }

    pub(super) fn problem<T>(&mut self, kind: &'static str, entry: &Entry<T>, message: impl AsRef<str>) {
        let problem = Problem::new(kind, entry.id, &entry.path, entry.position, message.as_ref());
        self.problems.push(problem);
    }

    /// The present value of an entity that makes up an index. Without one it takes no part, until it has one.
    pub(super) fn now<T: Clone + Send + Sync + 'static>(&mut self, entry: &Entry<T>) -> Option<T> {
        if let Some(value) = &entry.value {
            return Some(value.clone());
        }
        let secrets = self.secrets.as_ref()?;
        let bundle = secrets.bundles.get(&entry.id)?;
        let (changed, armed) = (Arc::clone(secrets.changed), Arc::clone(&secrets.armed));
        let filled = entry.clone();
        let derived = secrets.candidate.derive(bundle, "an entity", move |texts| {
            let value = filled.fill(texts)?;
            if armed.load(Ordering::Acquire) {
                changed.notify_one();
            }
            Ok(Made::Ready(value))
        });
        // First listen, then look: a change in between is told.
        secrets.armed.store(true, Ordering::Release);
        let value = derived.load();
        if value.is_none() {
            self.note(entry, &derived, "takes no part until it has a value");
        }
        self.held.push(derived);
        value.map(|value| T::clone(&value))
    }

    /// An entity that requests read, made into what they need. What cannot be made is a problem, and fails closed.
    pub(super) fn cell<T: Clone + Send + Sync + 'static, U: Send + Sync + 'static>(
        &mut self,
        kind: &'static str,
        entry: &Entry<T>,
        name: &'static str,
        make: impl Fn(&T) -> Result<U, String> + Send + Sync + 'static,
    ) -> Cell<U> {
        self.cell_with_values(kind, entry, name, move |value, _| make(value))
    }

    /// The same, for those who must tell logs what came from a vault.
    pub(super) fn cell_with_values<T: Clone + Send + Sync + 'static, U: Send + Sync + 'static>(
        &mut self,
        kind: &'static str,
        entry: &Entry<T>,
        name: &'static str,
        make: impl Fn(&T, Option<Arc<SecretValues>>) -> Result<U, String> + Send + Sync + 'static,
    ) -> Cell<U> {
        if let Some(value) = &entry.value {
            return match make(value, None) {
                Ok(made) => Cell::Fixed(Arc::new(made)),
                Err(reason) => {
                    self.problem(kind, entry, reason);
                    Cell::Nothing
                }
            };
        }
        let Some(secrets) = &self.secrets else { return Cell::Nothing };
        let Some(bundle) = secrets.bundles.get(&entry.id) else { return Cell::Nothing };
        let filled = entry.clone();
        let made = move |texts: &[Filled]| {
            let values = SecretValues::of(texts.iter().flat_map(Filled::values));
            let texts: Vec<_> = texts.iter().map(Filled::text).collect();
            make(&filled.fill(&texts)?, values).map(Made::Ready)
        };
        let derived = secrets.candidate.derive_filled(bundle, name, made);
        if derived.load().is_none() {
            self.note(entry, &derived, "fails closed until it has a value");
        }
        Cell::Live(derived)
    }

    /// What of an entity came from a vault.
    pub(super) fn values_of<T>(&self, entry: &Entry<T>) -> Option<Arc<SecretValues>> {
        let bundle = self.secrets.as_ref()?.bundles.get(&entry.id)?;
        SecretValues::of(bundle.filled()?.iter().flat_map(Filled::values))
    }

    /// Why an entity with references has no value yet.
    pub(super) fn note<T, U: Send + Sync + 'static>(
        &mut self,
        entry: &Entry<T>,
        derived: &Derived<U>,
        consequence: &'static str,
    ) {
        let problem = derived.problem();
        let reason = problem.as_ref().map_or("a reference has no usable value", |reason| reason.as_str());
        let (path, line) = (entry.path.clone(), entry.position.line);
        self.notes.push(Note { path, line, reason: reason.to_owned(), consequence });
    }
}

impl Note {
    pub(super) fn tell(&self) {
        let Self { path, line, reason, consequence } = self;
        tracing::error!(entity = path, line, reason, "{consequence}");
    }
}
