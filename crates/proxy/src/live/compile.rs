//! Snapshot + secrets → what may take effect, beside what is in effect.
//!
//! Owns: the two steps, and what is kept from one configuration to the next (balancers and their health, TLS settings, what
//! plugins keep). [`Compiler::prepare`] makes a [`Prepared`], and touches nothing that requests read or that outlives a
//! configuration; [`Prepared::commit`] takes effect and cannot fail. Must not know: where the snapshot came from. One file a
//! subject: `services`, `routes`, `plugins`, `certificates`, `consumers`; `work` is what they share, `closed` what rows of a
//! store close that are broken, `prepared` the commit.
//!
//! Two kinds of entity may hang on a secret. Those whose value is read by a request (services, plugins, certificates)
//! become [`Cell`]s. Those that make up an index (routes, consumers, credentials, upstreams) take part with the value
//! they have, and when it changes [`Compiler::changed`] tells that the index is to be made again.

mod certificates;
mod closed;
mod consumers;
mod plugins;
mod prepared;
mod routes;
mod services;
#[cfg(test)]
mod tests;
mod work;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::join_all;
use postern_model::snapshot::{Broken, Part, Remains};
use postern_model::{Position, Snapshot, Violation};
use postern_plugins::node::{Facts, Node};
use postern_plugins::registry::Registry;
use postern_plugins::state::State;
use postern_router::Flavour;
use postern_secrets::clock::Clock;
use postern_secrets::rotate::{Candidate, Engine};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::known::Known;
use super::{Cell, Route, Service, ServiceRef};
use crate::balance::{Balancer, Control};
use crate::tls::{self, ClientTls};
pub use prepared::Prepared;
use work::{Secrets, Work};

/// Makes configurations take shape; kept from one to the next.
pub struct Compiler {
    maker: Maker,
    /// What plugins keep; only a commit reaches it.
    living: Arc<plugins::Finisher>,
    changed: Arc<Notify>,
    kept: Mutex<Kept>,
}

/// Makes entities into what requests need of them. Nothing of it changes while the node runs, and it reaches nothing that lives.
pub struct Maker {
    registry: Registry,
    control: Control,
    flavour: Flavour,
    clock: Clock,
    facts: Arc<Facts>,
    system: Arc<RootCertStore>,
    /// Whether upstreams are checked where a service does not say; Kong's setting `tls_certificate_verify`.
    verify: bool,
    hashes: RandomState,
    /// By what they were made of, which is all that tells them apart.
    tls: Mutex<HashMap<u64, Weak<ClientConfig>>>,
}

/// What the configuration in effect is made of, for the next one to reuse. Only a commit writes it.
#[derive(Default)]
struct Kept {
    upstreams: HashMap<Uuid, Weak<Balancer>>,
    singles: HashMap<(String, u16), Weak<Balancer>>,
    known: Known,
}

/// What a maker works with.
pub struct Means {
    /// The plugins of this build.
    pub registry: Registry,
    /// What balancers share.
    pub control: Control,
    /// How routes are written.
    pub flavour: Flavour,
    /// Whom upstreams are checked against where a service names nobody.
    pub system: Arc<RootCertStore>,
    /// Whether they are checked where a service does not say.
    pub verify: bool,
    /// What the settings say to plugins.
    pub facts: Arc<Facts>,
}

/// Why an entity cannot take effect.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The kind of the entity: `services`.
    pub kind: &'static str,
    /// Its identifier.
    pub id: Uuid,
    /// Its path.
    pub path: String,
    /// The field that is wrong, where it is one: `config.redis.host`.
    pub field: Option<String>,
    /// Where the entity stands.
    pub position: Position,
    /// What is wrong; never a value.
    pub message: String,
}

/// What becomes of an entity that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnProblem {
    /// The whole configuration is refused: a document is one thing that a person wrote.
    Refuse,
    /// What needs it fails closed, and all else takes effect: a row of a store must not stop a node.
    Close,
}

impl Compiler {
    /// With everything that stays the same: `engine` keeps the slots, `node` is what plugins in effect know.
    pub fn new(maker: Maker, engine: Engine, node: Arc<Node>) -> Self {
        let io = maker.control.handle().clone();
        let living = plugins::Finisher::new(Arc::<State>::default(), node, io, engine);
        Self { maker, living: Arc::new(living), changed: Arc::default(), kept: Mutex::default() }
    }

    /// What it makes entities with.
    pub fn maker(&self) -> &Maker {
        &self.maker
    }

    /// What plugins know of the node.
    pub fn node(&self) -> &Node {
        self.living.node()
    }

    /// Waits until a secret changed on which an index hangs, so that the configuration is to be compiled again.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A configuration that may take effect, with the references of `candidate`. Waits until each of those that are new has
    /// been tried once, and each name that is new has been asked for, but for no longer than until `deadline`: what is not
    /// there by then takes effect when it comes.
    ///
    /// # Errors
    /// Everything that stands against it, where that is to refuse it.
    pub async fn prepare(
        &self,
        snapshot: &Snapshot,
        candidate: Candidate,
        on_problem: OnProblem,
        deadline: Instant,
    ) -> Result<Prepared<'_>, Vec<Problem>> {
        let secrets = Secrets::of(&candidate, snapshot, &self.changed, &self.living);
        candidate.settled(deadline).await;
        let made = {
            let kept = self.kept();
            let mut work = Work::new(&self.maker, Some(&*kept), Some(secrets));
            let parts = work.parts(snapshot);
            work.done(parts)
        };
        if on_problem == OnProblem::Refuse && !made.problems.is_empty() {
            return Err(made.problems);
        }
        // Names that were never asked for have no address yet; a server that does not answer must not hold a start up.
        let looked_up = made.balancers.iter().map(|used| used.balancer().look_up(&self.maker.control));
        let _ = timeout_at(deadline, join_all(looked_up)).await;
        Ok(Prepared::new(self, candidate, made))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maker {
    /// With everything that stays the same.
    pub fn new(means: Means) -> Self {
        let Means { registry, control, flavour, system, verify, facts } = means;
        let (clock, hashes) = (Clock::system(), RandomState::new());
        Self { registry, control, flavour, clock, facts, system, verify, hashes, tls: Mutex::default() }
    }

    /// What a start would say of these entities: everything is made and thrown away. References stay unresolved, and what
    /// entities refer to need not be there.
    ///
    /// # Errors
    /// Everything that stands against them.
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), Vec<Problem>> {
        let mut work = Work::new(self, None, None);
        work.parts(snapshot);
        if work.problems.is_empty() { Ok(()) } else { Err(work.problems) }
    }

    /// The same, as violations of a document.
    pub fn violations(&self, snapshot: &Snapshot) -> Vec<Violation> {
        self.check(snapshot).err().unwrap_or_default().iter().map(Problem::violation).collect()
    }

    /// The configuration for connections to an upstream, and a number that is another one for another configuration.
    fn client_tls(&self, tls: &ClientTls<'_>) -> Result<(Arc<ClientConfig>, u64), String> {
        let texts = |certificate: &postern_model::entity::Certificate| {
            (certificate.cert.as_str().to_owned(), certificate.key.as_str().to_owned())
        };
        let authorities: Vec<&str> = tls.authorities.iter().map(|text| text.as_str()).collect();
        let shown = tls.certificate.map(texts);
        // One bit is for the protocol, and 0 is for none.
        let number = self.hashes.hash_one((tls.verify, tls.depth, authorities, shown, tls.http2)) >> 1 | 1;
        let mut made = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = made.get(&number).and_then(Weak::upgrade) {
            return Ok((config, number));
        }
        made.retain(|_, config| config.strong_count() > 0);
        let config = Arc::new(tls::client(tls, &self.system)?);
        made.insert(number, Arc::downgrade(&config));
        Ok((config, number))
    }
}

impl Problem {
    /// Of an entity. A message may begin with the field that it is about: `redis: host: required field missing`.
    fn new(kind: &'static str, id: Uuid, path: &str, position: Position, message: &str) -> Self {
        let is_field = |text: &str| {
            let is_name =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.[]".contains(&byte);
            !text.is_empty() && text.bytes().all(is_name)
        };
        let (mut field, mut rest) = (String::new(), message);
        while let Some((name, more)) = rest.split_once(": ").filter(|(name, _)| is_field(name)) {
            field = if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
            rest = more;
        }
        let field = Some(field).filter(|field| !field.is_empty());
        Self { kind, id, path: path.to_owned(), field, position, message: rest.to_owned() }
    }

    /// As a violation of a document: `services[0].host: ...`.
    pub fn violation(&self) -> Violation {
        let path = match &self.field {
            Some(field) => format!("{}.{field}", self.path),
            None => self.path.clone(),
        };
        Violation::error(path, Some(self.position), self.message.as_str())
    }

    /// As a violation of the entity alone: `host: ...`.
    pub fn of_entity(self) -> Violation {
        Violation::error(self.field.unwrap_or_default(), None, self.message)
    }

    /// As a row of a store that is broken. What needs it was closed where it could not be made.
    fn broken(self) -> Broken {
        let violation = self.violation();
        let remains = Remains { name: Part::Absent, enabled: true, refers: Vec::new() };
        let Self { kind, id, path, .. } = self;
        Broken { kind: kind.to_owned(), id, path, reasons: vec![violation], remains }
    }
}
