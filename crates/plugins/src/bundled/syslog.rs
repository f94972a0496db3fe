//! `syslog`: the log object of each request to the machine's system log.
//!
//! Owns: severity, facility, and the form of RFC 3164 that local daemons read. Must not know: what the object says.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use postern_model::Record;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_secrets::io_reason;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixDatagram, UnixStream};

use crate::logging::queue::{self, Deliver, Delivery, Sender};
use crate::logging::{Lines, PHASES, fields};
use crate::plugin::Plugin;
use crate::prepared::Prepared;
use crate::registry::{Context, Definition};
use crate::view::{Request, Summary};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "syslog",
    priority: 4,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Writes a log object of each request to the system log.",
};

/// From RFC 5424, 6.2.1; the code is the place in the list.
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
/// As Kong lists them.
const SORTED_SEVERITIES: [&str; 8] = ["alert", "crit", "debug", "emerg", "err", "info", "notice", "warning"];
/// With their codes.
const FACILITIES: [(&str, u8); 20] = [
    ("auth", 4),
    ("authpriv", 10),
    ("cron", 9),
    ("daemon", 3),
    ("ftp", 11),
    ("kern", 0),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
    ("lpr", 6),
    ("mail", 2),
    ("news", 7),
    ("syslog", 5),
    ("user", 1),
    ("uucp", 8),
];
const FACILITY_NAMES: [&str; FACILITIES.len()] = {
    let mut names = [""; FACILITIES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = FACILITIES[index].0;
        index += 1;
    }
    names
};

const fn severity(name: &'static str, doc: &'static str) -> Field {
    Field::string(name).default_text("info").rules(&[Rule::OneOf(&SORTED_SEVERITIES)]).doc(doc)
}

const FIELDS: &[Field] = &[
    severity("log_level", "Requests of this severity and of graver ones are logged."),
    severity("successful_severity", "The severity of requests with a status below 400."),
    severity("client_errors_severity", "The severity of requests with a status from 400 to 499."),
    severity("server_errors_severity", "The severity of requests with a status from 500."),
    fields::FIELD,
    Field::string("facility")
        .default_text("user")
        .rules(&[Rule::OneOf(&FACILITY_NAMES)])
        .doc("The part of the system that the entries are said to be from."),
];

pub(crate) const DEFINITION: Definition = Definition { schema: &SCHEMA, phases: PHASES, make };

#[derive(Deserialize)]
struct Config {
    log_level: String,
    successful_severity: String,
    client_errors_severity: String,
    server_errors_severity: String,
    custom_fields_by_lua: Option<BTreeMap<String, String>>,
    facility: String,
}

struct Syslog {
    lines: Lines,
    clock: Clock,
    /// Codes of the severities below 400, below 500, and of the rest; `None` where these are not logged.
    priorities: [Option<u8>; 3],
    sender: Sender<String>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let lines = Lines::new(config.custom_fields_by_lua.as_ref(), context)?;
    let code = |name: &str| SEVERITIES.iter().position(|known| *known == name).ok_or("not a severity");
    let facility = FACILITIES.iter().find(|(name, _)| *name == config.facility);
    let (_, facility) = facility.ok_or("facility: not one")?;
    let least = code(&config.log_level)?;
    let priority = |name: &str| {
        let severity = code(name)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is below 8")]
        Ok::<_, String>((severity <= least).then_some(facility * 8 + severity as u8))
    };
    let priorities = [
        priority(&config.successful_severity)?,
        priority(&config.client_errors_severity)?,
        priority(&config.server_errors_severity)?,
    ];
    let to = Daemon(context.node.syslog.clone());
    let queue = queue::Config { max_retry_time: 5.0, ..queue::Config::plain(64) };
    let clock = context.clock.clone();
    Ok(Prepared::at_commit(move |living| {
        let sender = Sender::new(SCHEMA.name, living, queue, to);
        Syslog { lines, clock, priorities, sender }
    }))
}

/// As the C library writes it: local daemons expect that, and no host name.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[month repr:short] [day padding:space] [hour]:[minute]:[second]");

impl Plugin for Syslog {
    fn log(&self, request: &Request, summary: &Summary<'_>) {
        let [fine, client, server] = self.priorities;
        let priority = match summary.status.as_u16() {
            500.. => server,
            400.. => client,
            _ => fine,
        };
        let Some(priority) = priority else { return };
        let now = i64::try_from(self.clock.now()).unwrap_or_default();
        let time = OffsetDateTime::from_unix_timestamp(now).ok().and_then(|time| time.format(TIME).ok());
        let line = self.lines.line(request, summary);
        let entry = format!("<{priority}>{} kong[{}]: {line}", time.unwrap_or_default(), std::process::id());
        let bytes = entry.len();
        self.sender.push(entry, bytes);
    }
}

/// The socket of the daemon.
struct Daemon(PathBuf);

impl Deliver<String> for Daemon {
    fn deliver<'a>(&'a self, batch: &'a [String]) -> Delivery<'a> {
        Box::pin(async move {
            let written = tokio::time::timeout(Duration::from_secs(5), self.write(batch)).await;
            let written = written.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
            written.map_err(|error| format!("cannot write to the system log: {}", io_reason(&error)))
        })
    }
}

impl Daemon {
    /// Writes them, and says how many were lost.
    async fn write(&self, batch: &[String]) -> std::io::Result<usize> {
        let socket = UnixDatagram::unbound()?;
        match socket.connect(&self.0) {
            Ok(()) => {
                let (mut written, mut failure) = (0, None);
                for entry in batch {
                    match socket.send(entry.as_bytes()).await {
                        Ok(_) => written += 1,
                        // Too long, perhaps: the others are not.
                        Err(error) => failure = Some(error),
                    }
                }
                // Some were: what is tried again would be there twice.
                failure.filter(|_| written == 0).map_or(Ok(batch.len() - written), Err)
            }
            // EPROTOTYPE: some daemons listen for streams, in which a null byte ends an entry.
            Err(error) if error.raw_os_error() == Some(91) => {
                let mut stream = UnixStream::connect(&self.0).await?;
                for (written, entry) in batch.iter().enumerate() {
                    let ended = [entry.as_bytes(), &[0]].concat();
                    match stream.write_all(&ended).await {
                        Ok(()) => {}
                        Err(error) if written == 0 => return Err(error),
                        Err(_) => return Ok(batch.len() - written),
                    }
                }
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::StatusCode;
    use serde_json::{Value as Json, json};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixListener;
    use tokio::time::timeout;

    use super::*;
    use crate::node::{Facts, Node};

    fn plugin(socket: PathBuf, config: &Json) -> Box<dyn Plugin> {
        let facts = Arc::new(Facts { syslog: socket, ..Facts::default() });
        let node = Arc::new(Node { facts, ..Node::default() });
        crate::testing::make_on(&SCHEMA.config, make, config, &node)
    }

    fn log(plugin: &dyn Plugin, status: u16) {
        let status = StatusCode::from_u16(status).unwrap();
        plugin.log(&Request::for_test(), &Summary { status, ..Summary::for_test() });
    }

    #[tokio::test]
    async fn entries_have_the_severity_of_their_status() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let config = json!({
            "facility": "local3", "log_level": "warning", "successful_severity": "info",
            "client_errors_severity": "warning", "server_errors_severity": "crit",
        });
        let plugin = plugin(path, &config);
        // The first is of too little weight.
        [200, 404, 503].into_iter().for_each(|status| log(&*plugin, status));
        for (priority, status) in [(19 * 8 + 4, 404), (19 * 8 + 2, 503)] {
            let mut buffer = [0; 65536];
            let received = timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await;
            let entry = std::str::from_utf8(&buffer[..received.expect("an entry").unwrap()]).unwrap();
            let head = format!("<{priority}>Nov 14 22:13:20 kong[{}]: ", std::process::id());
            let object = entry.strip_prefix(&head).unwrap_or_else(|| panic!("{entry}"));
            let object: Json = serde_json::from_str(object).unwrap();
            assert_eq!(object["response"]["status"], status);
        }
    }

    #[tokio::test]
    async fn a_daemon_may_want_a_stream() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let listener = UnixListener::bind(&path).unwrap();
        let plugin = plugin(path, &json!({}));
        log(&*plugin, 200);
        let (mut stream, _) = timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
        let mut entry = String::new();
        stream.read_to_string(&mut entry).await.unwrap();
        assert!(entry.starts_with("<14>Nov 14") && entry.ends_with("}\0"), "{entry}");
    }
}
