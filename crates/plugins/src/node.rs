//! What plugins know of the node that they run on.
//!
//! Owns: the settings that concern several plugins ([`Facts`]), and what the node has of queues and counts ([`Node`]), which a
//! constructor cannot reach. Must not know: any plugin.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use postern_client::Trust;
use uuid::Uuid;

use crate::bundled::prometheus::Present;
use crate::logging::own::OwnLog;
use crate::logging::queue::Queues;
use crate::logging::redact::Redaction;
use crate::metrics::Tally;

/// A node, as plugins see it that are in effect.
#[derive(Debug, Default)]
pub struct Node {
    /// What its settings say.
    pub facts: Arc<Facts>,
    /// What waits to be delivered.
    pub queues: Queues,
    /// What the plugin `prometheus` counts.
    pub metrics: Metrics,
    /// What the node itself logs.
    pub own_log: Arc<OwnLog>,
    /// Whether log files are to be opened again.
    pub log_files: Arc<LogFiles>,
}

/// How often log files were asked to be opened again: they may have been moved away, as logrotate does.
#[derive(Debug, Default)]
pub struct LogFiles(AtomicU64);

impl LogFiles {
    /// Files that are open are opened again before the next line.
    pub fn reopen(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// A file that was opened at an earlier count is to be opened again.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What the settings of a node say to plugins. It does not change while the node runs.
#[derive(Debug)]
pub struct Facts {
    /// Whom servers that plugins call are checked against.
    pub trust: Trust,
    /// What logs do not show.
    pub redaction: Arc<Redaction>,
    /// The machine's name, for logs and metrics that go elsewhere.
    pub hostname: String,
    /// Another one each time that the node is started.
    pub instance: Uuid,
    /// What is traced.
    pub tracing: Tracing,
    /// The socket of the system's log.
    pub syslog: PathBuf,
}

/// What is traced, where a plugin does not say.
#[derive(Clone, Copy, Debug)]
pub struct Tracing {
    /// Which part of the traces is recorded, from 0 to 1.
    pub rate: f64,
    /// Whether a request is a span.
    pub request: bool,
    /// Whether each attempt to reach an upstream is one.
    pub balancer: bool,
}

impl Default for Tracing {
    /// Kong's rate, and all spans.
    fn default() -> Self {
        Self { rate: 0.01, request: true, balancer: true }
    }
}

/// What the plugin `prometheus` counts, and who wants it.
#[derive(Debug)]
pub struct Metrics {
    /// The counts.
    pub tally: Tally,
    present: Mutex<Vec<Weak<Present>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { tally: Tally::shared_by(2 * threads), present: Mutex::default() }
    }
}

impl Metrics {
    pub(crate) fn enter(&self, present: Present) -> Arc<Present> {
        let (present, mut all) = (Arc::new(present), self.lock());
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&present));
        present
    }

    /// Whether one of the plugins wants the health of targets to be told; `None` where there is no such plugin.
    pub fn present(&self) -> Option<bool> {
        self.lock().iter().filter_map(Weak::upgrade).map(|present| present.health).reduce(|a, b| a || b)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Present>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            trust: Trust::none(),
            redaction: Arc::default(),
            hostname: "localhost".to_owned(),
            instance: Uuid::nil(),
            tracing: Tracing::default(),
            syslog: PathBuf::from("/dev/log"),
        }
    }
}
