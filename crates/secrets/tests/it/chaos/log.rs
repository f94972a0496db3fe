//! All that is logged while the tests run, at the finest level, and that no secret is in it.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// What was logged so far, by everybody in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

/// So much of a credential is enough to know it again.
const PIECE: usize = 16;

impl Log {
    /// Logging starts with the first call; there is one log a process.
    pub(crate) fn of_this_process() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Self::default();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(log.clone());
            tracing::subscriber::set_global_default(subscriber.finish()).expect("the only subscriber");
            log
        });
        log.clone()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How many of these credentials occur in the log, whole or from their fifth character on.
pub(crate) fn found(log: &[u8], credentials: &BTreeSet<String>) -> usize {
    // The first characters of a JWT are the same for all, and say nothing.
    let pieces: HashSet<&[u8]> =
        credentials.iter().filter_map(|text| text.as_bytes().rchunks_exact(PIECE).next()).collect();
    let seen: HashSet<&[u8]> = log.windows(PIECE).filter(|window| pieces.contains(window)).collect();
    seen.len()
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
