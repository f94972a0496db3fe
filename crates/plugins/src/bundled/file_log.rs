//! `file-log`: the log object of each request as a line of a file.
//!
//! Owns: which file, and when it is opened. Must not know: what a line says.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Value};
use postern_secrets::io_reason;
use serde::Deserialize;

use crate::logging::queue::{self, Deliver, Delivery, Sender};
use crate::logging::{Lines, PHASES, fields};
use crate::node::LogFiles;
use crate::plugin::Plugin;
use crate::prepared::Prepared;
use crate::registry::{Context, Definition};
use crate::view::{Request, Summary};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "file-log",
    priority: 9,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Appends a log object of each request to a file.",
};

const FIELDS: &[Field] = &[
    Field::string("path")
        .required()
        .rules(&[Rule::Custom(is_path)])
        .doc("The file, or `/dev/stdout` and `/dev/stderr`. It is created where it is not there."),
    Field::boolean("reopen")
        .required()
        .default_bool(false)
        .doc("Whether the file is opened for each delivery, for those who move it away while it is written."),
    fields::FIELD,
];

fn is_path(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(path) if path.trim() != &**path || path.is_empty() || path.ends_with('/') => {
            Err("not a valid filename".to_owned())
        }
        Value::Text(path) if path.contains(['\0', '*', '?', '"', '<', '>', '|']) => {
            Err("not a valid filename".to_owned())
        }
        _ => Ok(()),
    }
}

pub(crate) const DEFINITION: Definition = Definition { schema: &SCHEMA, phases: PHASES, make };

/// Lines that go together: enough that nobody notices what it costs to wake a task for them.
const TOGETHER: usize = 512;

#[derive(Deserialize)]
struct Config {
    path: PathBuf,
    reopen: bool,
    custom_fields_by_lua: Option<BTreeMap<String, String>>,
}

struct FileLog {
    lines: Lines,
    sender: Sender<String>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let Config { path, reopen, custom_fields_by_lua } = config.read()?;
    let lines = Lines::new(custom_fields_by_lua.as_ref(), context)?;
    let queue = queue::Config { max_retry_time: 0.0, ..queue::Config::plain(TOGETHER) };
    Ok(Prepared::at_commit(move |living| {
        let log_files = Arc::clone(&living.node.log_files);
        let to = Appended(Arc::new(Appending { path, reopen, log_files, file: Mutex::default() }));
        FileLog { lines, sender: Sender::new(SCHEMA.name, living, queue, to) }
    }))
}

impl Plugin for FileLog {
    fn log(&self, request: &Request, summary: &Summary<'_>) {
        let mut line = self.lines.line(request, summary);
        line.push('\n');
        let bytes = line.len();
        self.sender.push(line, bytes);
    }
}

struct Appended(Arc<Appending>);

struct Appending {
    path: PathBuf,
    reopen: bool,
    log_files: Arc<LogFiles>,
    /// The open file, and the count of [`LogFiles`] at which it was opened.
    file: Mutex<Option<(File, u64)>>,
}

impl Appending {
    /// In one call, so that lines of several writers do not run into each other.
    fn append(&self, lines: &[u8]) -> std::io::Result<()> {
        let mut kept = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.log_files.count();
        let mut file = match kept.take().filter(|(_, opened)| !self.reopen && *opened == count) {
            Some((file, _)) => file,
            None => OpenOptions::new().append(true).create(true).mode(0o644).open(&self.path)?,
        };
        file.write_all(lines)?;
        *kept = Some((file, count));
        Ok(())
    }
}

impl Deliver<String> for Appended {
    fn deliver<'a>(&'a self, batch: &'a [String]) -> Delivery<'a> {
        let (lines, to) = (batch.concat(), Arc::clone(&self.0));
        Box::pin(async move {
            // A disk may take its time.
            let written = tokio::task::spawn_blocking(move || to.append(lines.as_bytes())).await;
            let written = written.map_err(|_| "writing ended before its end".to_owned())?;
            written.map_err(|error| format!("cannot write the file: {}", io_reason(&error)))?;
            Ok(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value as Json, json};
    use tokio::time::sleep;

    use super::*;
    use crate::testing::{check, make};

    async fn lines(path: &std::path::Path, number: usize) -> Vec<Json> {
        for _ in 0..500 {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= number {
                assert!(text.ends_with('\n'));
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("no {number} lines in {}", path.display());
    }

    #[tokio::test]
    async fn a_line_for_each_request() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("requests.log");
        let config =
            json!({"path": path, "custom_fields_by_lua": {"tries": "return nil", "env": "return 'test'"}});
        let plugin = make(&SCHEMA.config, super::make, &config);
        for _ in 0..3 {
            plugin.log(&Request::for_test(), &Summary::for_test());
        }
        let lines = lines(&path, 3).await;
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[2]["env"], &lines[2]["request"]["method"]), (&json!("test"), &json!("GET")));
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_made_anew_where_that_is_wanted() {
        for (reopen, first, second) in [(true, 1, 1), (false, 2, 0)] {
            let directory = tempfile::tempdir().unwrap();
            let (path, moved) = (directory.path().join("a.log"), directory.path().join("b.log"));
            let plugin = make(&SCHEMA.config, super::make, &json!({"path": path, "reopen": reopen}));
            plugin.log(&Request::for_test(), &Summary::for_test());
            lines(&path, 1).await;
            std::fs::rename(&path, &moved).unwrap();
            plugin.log(&Request::for_test(), &Summary::for_test());
            let (at, number) = if reopen { (&path, 1) } else { (&moved, 2) };
            lines(at, number).await;
            let number = |path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
            assert_eq!((number(&moved), number(&path)), (first, second));
        }
    }

    #[tokio::test]
    async fn a_node_that_opens_its_log_files_again_opens_this_one() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("a.log"), directory.path().join("b.log"));
        let node: Arc<crate::node::Node> = Arc::default();
        let plugin = crate::testing::make_on(&SCHEMA.config, super::make, &json!({"path": path}), &node);
        plugin.log(&Request::for_test(), &Summary::for_test());
        lines(&path, 1).await;
        std::fs::rename(&path, &moved).unwrap();
        node.log_files.reopen();
        plugin.log(&Request::for_test(), &Summary::for_test());
        assert_eq!((lines(&path, 1).await.len(), lines(&moved, 1).await.len()), (1, 1));
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_dropped_and_counted() {
        let node: Arc<crate::node::Node> = Arc::default();
        let config = json!({"path": "/nowhere/a.log"});
        let plugin = crate::testing::make_on(&SCHEMA.config, super::make, &config, &node);
        plugin.log(&Request::for_test(), &Summary::for_test());
        assert_eq!(node.queues.flush(Duration::from_secs(10)).await, 0);
        assert_eq!(node.queues.counts()[0].read(), (0, 1, 0));
    }

    #[test]
    fn a_path_is_a_file() {
        for path in ["", " /tmp/a", "/tmp/", "/tmp/a*"] {
            assert!(check(&SCHEMA.config, &json!({"path": path})).is_err(), "{path}");
        }
        assert!(check(&SCHEMA.config, &json!({"path": "/dev/stdout"})).is_ok());
        let lua = json!({"path": "/tmp/a", "custom_fields_by_lua": {"a": "return os.time()"}});
        assert!(check(&SCHEMA.config, &lua).is_err());
    }
}
