//! What plugins know of the node that they run on.
//!
//! Owns: the settings that concern several plugins, and the list of queues. Must not know: any plugin.

use std::path::PathBuf;
use std::sync::Arc;

use postern_secrets::client::Trust;

use crate::logging::queue::Queues;
use crate::logging::redact::Redaction;

/// A node, as plugins see it.
#[derive(Debug)]
pub struct Node {
    /// Whom servers that plugins call are checked against.
    pub trust: Trust,
    /// What logs do not show.
    pub redaction: Arc<Redaction>,
    /// What waits to be delivered.
    pub queues: Queues,
    /// The machine's name, for logs and metrics that go elsewhere.
    pub hostname: String,
    /// The socket of the system's log.
    pub syslog: PathBuf,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            trust: Trust::none(),
            redaction: Arc::default(),
            queues: Queues::default(),
            hostname: "localhost".to_owned(),
            syslog: PathBuf::from("/dev/log"),
        }
    }
}
