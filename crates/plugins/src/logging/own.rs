//! The gateway's own log, for plugins that send it elsewhere.
//!
//! Owns: the way of a line to those who want it, and which lines have none: those about sending lines would never end. Must not
//! know: who writes the lines, how they are sent. A line is as public there as where it is written anyway.

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// Modules that take part in sending, and whose lines therefore are not sent.
const SENDING: [&str; 2] = ["postern_plugins::logging", "postern_client"];

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Every step.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What happens.
    Info,
    /// What somebody should look at.
    Warn,
    /// What does not work.
    Error,
}

/// A line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// How much it matters.
    pub severity: Severity,
    /// The module that wrote it.
    pub target: &'a str,
    /// The file and the line of its source, where they are known.
    pub source: Option<(&'a str, u32)>,
    /// What it says.
    pub message: &'a str,
    /// Of what: names and values.
    pub fields: &'a [(&'static str, String)],
}

/// Who wants lines.
pub(crate) trait Listener: Send + Sync {
    /// Never waits.
    fn line(&self, line: &Line<'_>);
}

/// The log of a node.
#[derive(Default)]
pub struct OwnLog {
    listeners: RwLock<Vec<Weak<dyn Listener>>>,
    wanted: AtomicBool,
}

impl Debug for OwnLog {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnLog").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl OwnLog {
    /// Whether anybody wants lines of this module. Costs next to nothing where nobody does.
    pub fn wants(&self, target: &str) -> bool {
        self.wanted.load(Ordering::Relaxed) && !SENDING.iter().any(|module| target.starts_with(module))
    }

    /// Tells a line to those who want it.
    pub fn tell(&self, line: &Line<'_>) {
        if !self.wants(line.target) {
            return;
        }
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let listeners: Vec<_> = listeners.iter().filter_map(Weak::upgrade).collect();
        listeners.iter().for_each(|listener| listener.line(line));
    }

    /// From now on, and for as long as it is there.
    pub(crate) fn listen<T: Listener + 'static>(&self, listener: &Arc<T>) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|known| known.strong_count() > 0);
        let listener: Arc<dyn Listener> = Arc::<T>::clone(listener);
        listeners.push(Arc::downgrade(&listener));
        self.wanted.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Listener for Heard {
        fn line(&self, line: &Line<'_>) {
            self.0.lock().unwrap().push(line.message.to_owned());
        }
    }

    #[test]
    fn lines_come_to_those_who_are_there_and_none_is_about_sending() {
        let (log, heard) = (OwnLog::default(), Arc::<Heard>::default());
        let line =
            |target, message| Line { severity: Severity::Info, target, source: None, message, fields: &[] };
        log.tell(&line("postern_proxy", "before"));
        log.listen(&heard);
        log.tell(&line("postern_proxy", "one"));
        log.tell(&line("postern_plugins::logging::queue", "a log is not complete"));
        log.tell(&line("postern_client::http", "sent"));
        assert_eq!(*heard.0.lock().unwrap(), ["one"]);
        let kept = Arc::downgrade(&heard);
        drop(heard);
        log.tell(&line("postern_proxy", "after"));
        assert!(kept.upgrade().is_none());
    }
}
