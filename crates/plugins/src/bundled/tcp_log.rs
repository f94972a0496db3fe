//! `tcp-log`: the log object of each request as a line over TCP, with TLS or without.
//!
//! Owns: the form on the wire. Must not know: what a line says, how connections are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_model::field::{Check, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Value};
use serde::Deserialize;

use crate::logging::queue::{self, Deliver, Delivery, Sender};
use crate::logging::wire::{self, Place, Tcp};
use crate::logging::{Lines, PHASES, fields};
use crate::plugin::Plugin;
use crate::prepared::Prepared;
use crate::registry::{Context, Definition};
use crate::view::{Request, Summary};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "tcp-log",
    priority: 7,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[Check::Custom(somebody_is_verified)] },
    doc: "Sends a log object of each request to a TCP server.",
};

const FIELDS: &[Field] = &[
    Field::string("host").required().doc("The server's name or address."),
    Field::integer("port").required().rules(&[Rule::Between(0.0, 65535.0)]).doc("Its port."),
    Field::number("timeout").default_int(10_000).doc("Milliseconds for connecting and sending, each."),
    Field::number("keepalive").default_int(60_000).doc("Milliseconds for which an idle connection is kept."),
    Field::boolean("tls").required().default_bool(false).doc("Whether to use TLS."),
    Field::string("tls_sni")
        .rules(&[Rule::Custom(wire::server_name)])
        .doc("The server name of the TLS handshake; `host` where it is not said."),
    fields::FIELD,
    Field::boolean("ssl_verify").default_bool(false).doc("Whether the server's certificate is checked."),
];

/// TLS needs a name for the other side: `tls_sni`, or else `host`.
fn somebody_is_verified(config: &Record) -> Result<(), (&'static str, String)> {
    let is_secured = matches!(config.get("tls"), Some(Value::Boolean(true)));
    match config.get("host") {
        Some(host) if is_secured && config.get("tls_sni").is_none() => {
            wire::server_name(host).map_err(|message| ("host", message))
        }
        _ => Ok(()),
    }
}

pub(crate) const DEFINITION: Definition = Definition { schema: &SCHEMA, phases: PHASES, make };

/// Lines that go together: enough that nobody notices what it costs to wake a task for them.
const TOGETHER: usize = 512;

#[derive(Deserialize)]
struct Config {
    host: String,
    port: u16,
    timeout: f64,
    keepalive: f64,
    tls: bool,
    tls_sni: Option<String>,
    custom_fields_by_lua: Option<BTreeMap<String, String>>,
    ssl_verify: Option<bool>,
}

struct TcpLog {
    lines: Lines,
    sender: Sender<String>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let lines = Lines::new(config.custom_fields_by_lua.as_ref(), context)?;
    let milliseconds = |number: f64| Duration::from_secs_f64((number / 1e3).clamp(0.001, 86_400.0));
    let place = Place { host: config.host, port: config.port, timeout: milliseconds(config.timeout) };
    let mut to = Tcp::new(place, milliseconds(config.keepalive));
    if config.tls {
        let verify = config.ssl_verify.unwrap_or(false);
        let secured = to.with_tls(&context.node.trust, verify, config.tls_sni.as_deref());
        to = secured.map_err(|reason| format!("tls_sni: {reason}"))?;
    }
    let queue = queue::Config::plain(TOGETHER);
    let to = Lined(to);
    Ok(Prepared::at_commit(move |living| TcpLog {
        lines,
        sender: Sender::new(SCHEMA.name, living, queue, to),
    }))
}

impl Plugin for TcpLog {
    fn log(&self, request: &Request, summary: &Summary<'_>) {
        let mut line = self.lines.line(request, summary);
        line.push('\n');
        let bytes = line.len();
        self.sender.push(line, bytes);
    }
}

struct Lined(Tcp);

impl Deliver<String> for Lined {
    fn deliver<'a>(&'a self, batch: &'a [String]) -> Delivery<'a> {
        Box::pin(async move { self.0.send(batch.concat().as_bytes()).await.map(|()| 0) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    async fn accepted(listener: &TcpListener) -> BufReader<TcpStream> {
        let accepted = timeout(Duration::from_secs(10), listener.accept()).await;
        BufReader::new(accepted.expect("a connection").unwrap().0)
    }

    async fn line(from: &mut BufReader<TcpStream>) -> Json {
        let mut line = String::new();
        timeout(Duration::from_secs(10), from.read_line(&mut line)).await.expect("a line").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[tokio::test]
    async fn lines_over_one_connection_and_over_another_when_that_has_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plugin = crate::testing::make(&SCHEMA.config, make, &json!({"host": "127.0.0.1", "port": port}));
        let log = || plugin.log(&Request::for_test(), &Summary::for_test());
        log();
        let mut first = accepted(&listener).await;
        assert_eq!(line(&mut first).await["response"]["status"], 200);
        log();
        assert_eq!(line(&mut first).await["client_ip"], "192.0.2.1");
        drop(first);
        // The end of it has to arrive.
        tokio::time::sleep(Duration::from_millis(50)).await;
        log();
        assert_eq!(line(&mut accepted(&listener).await).await["response"]["status"], 200);
    }

    #[tokio::test]
    async fn what_nobody_takes_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let plugin = crate::testing::make(&SCHEMA.config, make, &json!({"host": "127.0.0.1", "port": port}));
        plugin.log(&Request::for_test(), &Summary::for_test());
        tokio::time::sleep(Duration::from_millis(30)).await;
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        assert_eq!(line(&mut accepted(&listener).await).await["response"]["status"], 200);
    }
}
