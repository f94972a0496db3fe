//! `/metrics`, in Prometheus's text form: traffic, the health of targets, and how secrets stand.
//!
//! Owns: the names and labels. Must not know: how anything is counted. A label never holds a value of a secret; a
//! reference is named as it is written in the configuration.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use postern_config::apply::Apply;
use postern_proxy::observe::{BUCKETS, Count, Histogram, Line};
use postern_secrets::rotate::{ReferenceState, Status};
use uuid::Uuid;

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
    let names = names(apply);
    let name = |id: Option<Uuid>| {
        id.map_or_else(String::new, |id| names.get(&id).cloned().unwrap_or(id.to_string()))
    };
    let mut lines: BTreeMap<Line, Count> = BTreeMap::new();
    let (mut accepted, mut closed, mut handshakes) = (0, 0, 0);
    for counts in proxy.counts() {
        let (a, c, f) = counts.connections();
        (accepted, closed, handshakes) = (accepted + a, closed + c, handshakes + f);
        for (line, count) in counts.lines() {
            let sum = lines.entry(line).or_default();
            sum.requests += count.requests;
            sum.received += count.received;
            sum.sent += count.sent;
            sum.total.merge(&count.total);
            sum.gateway.merge(&count.gateway);
            sum.upstream.merge(&count.upstream);
        }
    }
    out.family("postern_connections_accepted_total", "counter", "Connections of clients that were accepted.");
    out.line("postern_connections_accepted_total", &[], accepted);
    out.family("postern_connections_active", "gauge", "Connections of clients that are open.");
    out.line("postern_connections_active", &[], accepted.saturating_sub(closed));
    out.family("postern_tls_handshakes_failed_total", "counter", "TLS handshakes of clients that failed.");
    out.line("postern_tls_handshakes_failed_total", &[], handshakes);

    out.family("kong_http_requests_total", "counter", "Requests by service, route, status and who answered.");
    for (line, count) in &lines {
        let (service, route, status) = (name(line.service), name(line.route), line.status.to_string());
        let source = if line.from_upstream { "service" } else { "kong" };
        let labels = [("service", &*service), ("route", &*route), ("code", &*status), ("source", source)];
        out.line("kong_http_requests_total", &labels, count.requests);
    }
    out.family("kong_bandwidth_bytes", "counter", "Bytes of bodies, by service, route and direction.");
    let by_route = by_route(&lines);
    for ((service, route), count) in &by_route {
        let (service, route) = (name(*service), name(*route));
        for (direction, bytes) in [("ingress", count.received), ("egress", count.sent)] {
            let labels = [("service", &*service), ("route", &*route), ("direction", direction)];
            out.line("kong_bandwidth_bytes", &labels, bytes);
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
    for (family, help, part) in parts {
        out.family(family, "histogram", help);
        for ((service, route), count) in &by_route {
            let (service, route) = (name(*service), name(*route));
            out.histogram(family, &[("service", &*service), ("route", &*route)], part(count));
        }
    }
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

fn by_route(lines: &BTreeMap<Line, Count>) -> BTreeMap<(Option<Uuid>, Option<Uuid>), Count> {
    let mut sums: BTreeMap<_, Count> = BTreeMap::new();
    for (line, count) in lines {
        let sum = sums.entry((line.service, line.route)).or_default();
        sum.received += count.received;
        sum.sent += count.sent;
        sum.total.merge(&count.total);
        sum.gateway.merge(&count.gateway);
        sum.upstream.merge(&count.upstream);
    }
    sums
}

/// Services and routes by identifier; those without a name go by it.
fn names(apply: &Apply<Serve>) -> HashMap<Uuid, String> {
    let Some(current) = apply.state().current else { return HashMap::new() };
    let named = |id: Uuid, record: &postern_model::Record| Some((id, record.text("name")?.to_owned()));
    let services = current.snapshot.services.iter().filter_map(|entry| named(entry.id, &entry.record));
    let routes = current.snapshot.routes.iter().filter_map(|entry| named(entry.id, &entry.record));
    services.chain(routes).collect()
}

fn configuration(out: &mut Page, apply: &Apply<Serve>) {
    let state = apply.state();
    out.family("postern_configuration_number", "gauge", "How many configurations have taken effect.");
    out.line("postern_configuration_number", &[], state.current.map_or(0, |current| current.number));
    out.family("postern_configuration_refused", "gauge", "1 while the newest configuration was refused.");
    out.line("postern_configuration_refused", &[], u8::from(state.refused.is_some()));
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
