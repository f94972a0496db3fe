//! What an OpenBao was asked, by its own account: its audit device, which writes before it answers.
//!
//! Bounds on the number of requests are judged by this, never by counters of the product.

use std::{
    collections::HashMap,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::OpenBao;

/// The audit log of one server. Requests before [`Audit::of`] are not in it.
#[derive(Clone, Debug)]
pub struct Audit {
    log: PathBuf,
}

/// One request, as it was audited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// `read`, `update`, `list`, `delete`.
    pub operation: String,
    /// Below `/v1/`.
    pub path: String,
    /// The policies of its token, or of the token that a login gave; none where there was no valid one.
    pub policies: Vec<String>,
}

impl Audit {
    /// Begins to log what this server is asked.
    ///
    /// # Panics
    /// When the server refuses; it can be done once for each server.
    pub async fn of(bao: &OpenBao) -> Self {
        let log = bao.directory().join("audit.log");
        let device = json!({"type": "file", "options": {"file_path": log}});
        let (status, reply) = bao.request("POST", "sys/audit/file", Some(&device)).await;
        assert_eq!(status, 204, "audit: {reply}");
        Self { log }
    }

    /// The log of a server that was started with an audit device: [`OpenBao::kept`].
    pub fn kept(bao: &OpenBao) -> Self {
        Self { log: bao.directory().join("audit.log") }
    }

    /// How many requests there were to paths that begin with this: `auth/approle/login`.
    pub fn count(&self, path_prefix: &str) -> usize {
        self.requests().iter().filter(|request| request.path.starts_with(path_prefix)).count()
    }

    /// All requests so far, in order; answered or not, granted or refused. A sealed server audits nothing.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn requests(&self) -> Vec<Audited> {
        self.requests_between(0, self.mark())
    }

    /// How long the log is now, for [`Audit::requests_between`].
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn mark(&self) -> u64 {
        fs::metadata(&self.log).expect("an audit log").len()
    }

    /// The requests between two marks.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn requests_between(&self, from: u64, to: u64) -> Vec<Audited> {
        let mut log = fs::File::open(&self.log).expect("an audit log");
        let mut bytes = Vec::new();
        log.seek(SeekFrom::Start(from)).expect("an audit log");
        log.take(to - from).read_to_end(&mut bytes).expect("an audit log");
        let text = String::from_utf8_lossy(&bytes);
        let mut seen = HashMap::new();
        let mut requests: Vec<Audited> = Vec::new();
        for line in text.lines() {
            // The last line may be half written.
            let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
            let request = &entry["request"];
            let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
            let policies = entry["auth"]["policies"].as_array().into_iter().flatten();
            let policies: Vec<_> = policies.filter_map(|name| name.as_str().map(str::to_owned)).collect();
            // A request has an entry when it comes, when it is answered, and more when it fails.
            let at = *seen.entry(text("id")).or_insert(requests.len());
            match requests.get_mut(at) {
                Some(request) if request.policies.is_empty() => request.policies = policies,
                Some(_) => {}
                None => requests.push(Audited { operation: text("operation"), path: text("path"), policies }),
            }
        }
        requests
    }
}
