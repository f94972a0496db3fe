//! `/metrics`, in Prometheus's text form: traffic, the health of targets, and how secrets stand.
//!
//! Owns: the names and labels. Must not know: how anything is counted. A label never holds a value of a secret; a
//! reference is named as it is written in the configuration.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use postern_config::apply::Apply;
use postern_plugins::metrics::{BUCKETS, Count, Histogram, Line};
use postern_plugins::node::Node;
use postern_plugins::view::Source;
use postern_proxy::Proxy;
use postern_secrets::rotate::{ReferenceState, Status};
use uuid::Uuid;

use crate::broken;
use crate::serve::Serve;

/// All of it.
pub(super) fn text(apply: &Apply<Serve>) -> String {
    let mut out = Page(String::with_capacity(16 * 1024));
    traffic(&mut out, apply);
    configuration(&mut out, apply);
    secrets(&mut out, &apply.effect().engine().status());
    out.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            self.0.push(if number == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut below = 0;
        let bucket = format!("{name}_bucket");
        let ends = BUCKETS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (count, end) in histogram.buckets.iter().zip(ends) {
            below += count;
            let labels: Vec<_> = labels.iter().copied().chain([("le", end.as_str())]).collect();
            self.line(&bucket, &labels, below);
        }
        self.line(&format!("{name}_sum"), labels, histogram.microseconds as f64 / 1e3);
        self.line(&format!("{name}_count"), labels, below);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn traffic(out: &mut Page, apply: &Apply<Serve>) {
    let Some(proxy) = apply.effect().proxy() else { return };
    let node = apply.effect().node();
    let (mut accepted, mut closed, mut handshakes) = (0, 0, 0);
    for counts in proxy.counts() {
        let (a, c, f) = counts.connections();
        (accepted, closed, handshakes) = (accepted + a, closed + c, handshakes + f);
    }
    out.family("postern_connections_accepted_total", "counter", "Connections of clients that were accepted.");
    out.line("postern_connections_accepted_total", &[], accepted);
    out.family("postern_connections_active", "gauge", "Connections of clients that are open.");
    out.line("postern_connections_active", &[], accepted.saturating_sub(closed));
    out.family("postern_tls_handshakes_failed_total", "counter", "TLS handshakes of clients that failed.");
    out.line("postern_tls_handshakes_failed_total", &[], handshakes);
    let requests_so_far: u64 =
        proxy.counts().iter().flat_map(|counts| counts.lines()).map(|(_, count)| count.requests).sum();
    // In Kong's names, which dashboards ask for.
    let instance = node.facts.instance.to_string();
    out.family("kong_node_info", "gauge", "1, with what this node is.");
    out.line("kong_node_info", &[("node_id", &instance), ("version", env!("CARGO_PKG_VERSION"))], 1);
    out.family(
        "kong_datastore_reachable",
        "gauge",
        "1 while the newest configuration could be read and used.",
    );
    out.line("kong_datastore_reachable", &[], u8::from(apply.state().refused.is_none()));
    out.family("kong_nginx_connections_total", "gauge", "Connections of clients, by state.");
    for (state, count) in [
        ("accepted", accepted),
        ("handled", accepted),
        ("active", accepted.saturating_sub(closed)),
        ("total", requests_so_far),
    ] {
        let labels = [("node_id", &*instance), ("subsystem", "http"), ("state", state)];
        out.line("kong_nginx_connections_total", &labels, count);
    }
    out.family("kong_nginx_requests_total", "gauge", "Requests of clients.");
    let labels = [("node_id", &*instance), ("subsystem", "http")];
    out.line("kong_nginx_requests_total", &labels, requests_so_far);
    let lines = lines(&proxy, node);
    let consumers = lines.keys().filter_map(|line| line.consumer).collect();
    requests(out, &lines, &names(apply, &consumers));
    if node.metrics.present() != Some(false) {
        health(out, &proxy);
    }
    logs(out, node);
}

/// What is counted of all requests; where the plugin `prometheus` is configured, what that counts.
fn lines(proxy: &Proxy, node: &Node) -> BTreeMap<Line, Count> {
    let counted = match node.metrics.present() {
        Some(_) => node.metrics.tally.lines(),
        None => proxy.counts().iter().flat_map(|counts| counts.lines()).collect(),
    };
    let mut lines: BTreeMap<Line, Count> = BTreeMap::new();
    for (line, count) in counted {
        lines.entry(line).or_default().merge(&count);
    }
    lines
}

/// What the series of requests have in common: service, route, consumer.
type Place = (Option<Uuid>, Option<Uuid>, Option<Uuid>);

fn requests(out: &mut Page, lines: &BTreeMap<Line, Count>, names: &HashMap<Uuid, String>) {
    let name = |id: Option<Uuid>| {
        id.map_or_else(String::new, |id| names.get(&id).cloned().unwrap_or_else(|| id.to_string()))
    };
    let labels = |(service, route, consumer): &Place| {
        let labels = [("service", name(*service)), ("route", name(*route)), ("consumer", name(*consumer))];
        labels.into_iter().chain([("workspace", "default".to_owned())]).collect::<Vec<_>>()
    };
    fn with<'a>(labels: &'a [(&'a str, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        labels.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect()
    }
    out.family("kong_http_requests_total", "counter", "Requests by service, route, status and who answered.");
    let mut by_status: BTreeMap<(Place, u16, Source), u64> = BTreeMap::new();
    for (line, count) in lines.iter().filter(|(line, _)| line.tells.status) {
        let place = (line.service, line.route, line.consumer);
        *by_status.entry((place, line.status, line.source)).or_default() += count.requests;
    }
    for ((place, status, source), count) in &by_status {
        let source = match source {
            Source::Upstream => "service",
            Source::Plugin => "exit",
            Source::Gateway => "error",
        };
        let (labels, status) = (labels(place), status.to_string());
        out.line("kong_http_requests_total", &with(&labels, &[("code", &status), ("source", source)]), count);
    }
    out.family("kong_bandwidth_bytes", "counter", "Bytes of bodies, by service, route and direction.");
    for (place, count) in &by_place(lines, |line| line.tells.bandwidth) {
        let labels = labels(place);
        for (direction, bytes) in [("ingress", count.received), ("egress", count.sent)] {
            out.line("kong_bandwidth_bytes", &with(&labels, &[("direction", direction)]), bytes);
        }
    }
    type Part = fn(&Count) -> &Histogram;
    let parts: [(&str, &str, Part); 3] = [
        (
            "kong_request_latency_ms",
            "Milliseconds from the first byte of a request to the last of its response.",
            |c| &c.total,
        ),
        ("kong_kong_latency_ms", "Milliseconds of that until the request was sent on.", |c| &c.gateway),
        (
            "kong_upstream_latency_ms",
            "Milliseconds of that until the head of the upstream's response.",
            |c| &c.upstream,
        ),
    ];
    let timed = by_place(lines, |line| line.tells.latency);
    for (family, help, part) in parts {
        out.family(family, "histogram", help);
        for (place, count) in &timed {
            out.histogram(family, &with(&labels(place), &[]), part(count));
        }
    }
}

fn by_place(lines: &BTreeMap<Line, Count>, wanted: fn(&Line) -> bool) -> BTreeMap<Place, Count> {
    let mut sums: BTreeMap<_, Count> = BTreeMap::new();
    for (line, count) in lines.iter().filter(|(line, _)| wanted(line)) {
        sums.entry((line.service, line.route, line.consumer)).or_default().merge(count);
    }
    sums
}

fn health(out: &mut Page, proxy: &Proxy) {
    out.family(
        "kong_upstream_target_health",
        "gauge",
        "1 for the state that an address of an upstream's target is in.",
    );
    for (upstream, peers) in proxy.balancers() {
        for peer in peers {
            let address = peer.address.map_or_else(String::new, |address| address.to_string());
            let state = peer.state.as_str().to_ascii_lowercase();
            let labels = [
                ("upstream", &*upstream),
                ("target", &*peer.target),
                ("address", &*address),
                ("state", &*state),
                ("subsystem", "http"),
            ];
            out.line("kong_upstream_target_health", &labels, 1);
        }
    }
}

/// What came of the entries of log plugins.
fn logs(out: &mut Page, node: &Node) {
    let counts = node.queues.counts();
    let series = counts.iter().map(|counts| (counts.plugin, counts.id.to_string(), counts.read()));
    let series: Vec<_> = series.collect();
    out.family("postern_log_entries_total", "counter", "Entries of log plugins, by what came of them.");
    for (plugin, id, (delivered, dropped, _)) in &series {
        for (outcome, count) in [("delivered", delivered), ("dropped", dropped)] {
            let labels = [("plugin", *plugin), ("plugin_id", id), ("outcome", outcome)];
            out.line("postern_log_entries_total", &labels, count);
        }
    }
    out.family("postern_log_entries_waiting", "gauge", "Entries of log plugins that wait to be delivered.");
    for (plugin, id, (_, _, waiting)) in &series {
        out.line("postern_log_entries_waiting", &[("plugin", plugin), ("plugin_id", id)], waiting);
    }
}

/// Services, routes and some consumers by identifier; those without a name go by it.
fn names(apply: &Apply<Serve>, consumers: &HashSet<Uuid>) -> HashMap<Uuid, String> {
    let Some(current) = apply.state().current else { return HashMap::new() };
    let named = |id: Uuid, record: &postern_model::Record| Some((id, record.text("name")?.to_owned()));
    let services = current.snapshot.services.iter().filter_map(|entry| named(entry.id, &entry.record));
    let routes = current.snapshot.routes.iter().filter_map(|entry| named(entry.id, &entry.record));
    // There may be a million.
    let consumers = current.snapshot.consumers.iter().filter(|entry| consumers.contains(&entry.id));
    let consumers = consumers.filter_map(|entry| Some((entry.id, entry.record.text("username")?.to_owned())));
    services.chain(routes).chain(consumers).collect()
}

fn configuration(out: &mut Page, apply: &Apply<Serve>) {
    let state = apply.state();
    let current = state.current.as_ref();
    out.family("postern_configuration_number", "gauge", "How many configurations have taken effect.");
    out.line("postern_configuration_number", &[], current.map_or(0, |current| current.number));
    out.family("postern_configuration_refused", "gauge", "1 while the newest configuration was refused.");
    out.line("postern_configuration_refused", &[], u8::from(state.refused.is_some()));
    let name = "postern_configuration_broken_entities";
    out.family(name, "gauge", "Entities of the configuration in effect that take no part in it, by kind.");
    for (kind, count) in current.iter().flat_map(|current| broken::by_kind(broken::of(current))) {
        out.line(name, &[("kind", kind)], count);
    }
}

fn secrets(out: &mut Page, status: &Status) {
    const STATES: [(ReferenceState, &str); 4] = [
        (ReferenceState::Fresh, "fresh"),
        (ReferenceState::Stale, "stale"),
        (ReferenceState::Unresolved, "unresolved"),
        (ReferenceState::Invalid, "invalid"),
    ];
    out.family("postern_secret_references", "gauge", "References by vault and state.");
    let mut vaults: Vec<&str> = status.references.iter().map(|reference| reference.vault.as_str()).collect();
    vaults.sort_unstable();
    vaults.dedup();
    for vault in vaults {
        for (state, word) in STATES {
            let is = |r: &&postern_secrets::rotate::ReferenceStatus| r.vault == vault && r.state == state;
            let count = status.references.iter().filter(is).count();
            out.line("postern_secret_references", &[("vault", vault), ("state", word)], count);
        }
    }
    out.family(
        "postern_secret_age_seconds",
        "gauge",
        "Seconds since a reference was last read with success.",
    );
    for reference in &status.references {
        if let Some(age) = reference.age {
            let labels = [("reference", reference.reference.as_str()), ("vault", reference.vault.as_str())];
            out.line("postern_secret_age_seconds", &labels, age.as_secs_f64());
        }
    }
    out.family("postern_secret_failing", "gauge", "1 for a reference whose last read failed.");
    for reference in &status.references {
        let labels = [("reference", reference.reference.as_str()), ("vault", reference.vault.as_str())];
        out.line("postern_secret_failing", &labels, u8::from(reference.last_error.is_some()));
    }
    out.family("postern_secret_users", "gauge", "How many texts of the configuration hold a reference.");
    for reference in &status.references {
        let labels = [("reference", reference.reference.as_str()), ("vault", reference.vault.as_str())];
        out.line("postern_secret_users", &labels, reference.users);
    }
    vault_requests(out, status);
}

/// Requests to vaults, by session.
fn vault_requests(out: &mut Page, status: &Status) {
    out.family("postern_vault_requests_total", "counter", "Requests to a vault, by outcome.");
    for (number, vault) in status.vaults.iter().enumerate() {
        let number = number.to_string();
        let counts = &vault.requests;
        for (outcome, count) in [
            ("ok", counts.succeeded),
            ("absent", counts.absent),
            ("refused", counts.refused),
            ("failed", counts.failed),
            ("held", counts.held),
        ] {
            out.line("postern_vault_requests_total", &[("session", &number), ("outcome", outcome)], count);
        }
    }
    out.family("postern_vault_circuit_open", "gauge", "1 while a vault is not asked because it failed.");
    for (number, vault) in status.vaults.iter().enumerate() {
        let is_open = !matches!(vault.circuit, postern_secrets::guard::Circuit::Closed);
        out.line("postern_vault_circuit_open", &[("session", &number.to_string())], u8::from(is_open));
    }
}
