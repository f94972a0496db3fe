//! `udp-log`: the log object of each request as a datagram.
//!
//! Owns: that it is one datagram. Must not know: what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_model::Record;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use serde::Deserialize;

use crate::logging::queue::{self, Deliver, Delivery, Sender};
use crate::logging::wire::{Place, Udp};
use crate::logging::{Lines, PHASES, fields};
use crate::plugin::Plugin;
use crate::prepared::Prepared;
use crate::registry::{Context, Definition};
use crate::view::{Request, Summary};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "udp-log",
    priority: 8,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Sends a log object of each request to a UDP server.",
};

const FIELDS: &[Field] = &[
    Field::string("host").required().doc("The server's name or address."),
    Field::integer("port").required().rules(&[Rule::Between(0.0, 65535.0)]).doc("Its port."),
    Field::number("timeout")
        .default_int(10_000)
        .doc("Milliseconds for looking the name up and for sending, each."),
    fields::FIELD,
];

pub(crate) const DEFINITION: Definition = Definition { schema: &SCHEMA, phases: PHASES, make };

/// Lines that go together: enough that nobody notices what it costs to wake a task for them.
const TOGETHER: usize = 512;

#[derive(Deserialize)]
struct Config {
    host: String,
    port: u16,
    timeout: f64,
    custom_fields_by_lua: Option<BTreeMap<String, String>>,
}

struct UdpLog {
    lines: Lines,
    sender: Sender<String>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let Config { host, port, timeout, custom_fields_by_lua } = config.read()?;
    let lines = Lines::new(custom_fields_by_lua.as_ref(), context)?;
    let timeout = Duration::from_secs_f64((timeout / 1e3).clamp(0.001, 86_400.0));
    let to = Datagrams(Udp::new(Place { host, port, timeout }));
    let queue = queue::Config::plain(TOGETHER);
    Ok(Prepared::at_commit(move |living| UdpLog {
        lines,
        sender: Sender::new(SCHEMA.name, living, queue, to),
    }))
}

impl Plugin for UdpLog {
    fn log(&self, request: &Request, summary: &Summary<'_>) {
        let line = self.lines.line(request, summary);
        let bytes = line.len();
        self.sender.push(line, bytes);
    }
}

struct Datagrams(Udp);

impl Deliver<String> for Datagrams {
    fn deliver<'a>(&'a self, batch: &'a [String]) -> Delivery<'a> {
        Box::pin(self.0.send(batch.iter().map(String::as_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use tokio::net::UdpSocket;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_datagram_for_each_request() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let plugin = crate::testing::make(&SCHEMA.config, make, &json!({"host": "127.0.0.1", "port": port}));
        for _ in 0..2 {
            plugin.log(&Request::for_test(), &Summary::for_test());
            let mut buffer = [0; 65536];
            let received = timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await;
            let length = received.expect("a datagram").unwrap();
            let object: Json = serde_json::from_slice(&buffer[..length]).unwrap();
            assert_eq!(object["response"]["status"], 200);
        }
    }
    #[tokio::test]
    async fn what_fits_in_no_datagram_is_lost_and_holds_nothing_up() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let node: std::sync::Arc<crate::node::Node> = std::sync::Arc::default();
        let config = json!({"host": "127.0.0.1", "port": port});
        let plugin = crate::testing::make_on(&SCHEMA.config, make, &config, &node);
        plugin.log(&Request::for_test().with("x-long", &"x".repeat(70_000)), &Summary::for_test());
        plugin.log(&Request::for_test(), &Summary::for_test());
        let mut buffer = [0; 65536];
        timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await.expect("a datagram").unwrap();
        assert_eq!(node.queues.flush(Duration::from_secs(10)).await, 0);
        assert_eq!(node.queues.counts()[0].read(), (1, 1, 0));
    }
}
