//! Resolution: against a source that tests write, and against a DNS server on the loopback.

mod server;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

type Said = Result<Records, DnsError>;

/// Answers by name and kind; what is missing is absent.
#[derive(Clone, Default)]
struct Double {
    records: Arc<Mutex<HashMap<(String, Kind), Said>>>,
    asked: Arc<AtomicUsize>,
}

impl Double {
    fn set(&self, name: &str, kind: Kind, outcome: Result<Records, DnsError>) {
        self.records.lock().unwrap().insert((name.into(), kind), outcome);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Ask for Double {
    fn known(&self, name: &str) -> Vec<IpAddr> {
        if name == "hosts.test" { vec!["10.9.9.9".parse().unwrap()] } else { Vec::new() }
    }

    fn ask<'a>(&'a self, name: &'a str, kind: Kind) -> Asked<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            // A question takes time, so that others come while it is under way.
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.records.lock().unwrap().get(&(name.into(), kind)).cloned().unwrap_or(Err(DnsError::Absent))
        })
    }
}

fn addresses(ips: &[&str], ttl: u64) -> Result<Records, DnsError> {
    let data = ips.iter().map(|ip| Data::Address(ip.parse().unwrap())).collect();
    Ok(Records { data, ttl: Duration::from_secs(ttl) })
}

fn service(priority: u16, weight: u16, port: u16, target: &str) -> Data {
    Data::Service { priority, weight, port, target: target.into() }
}

fn ips(answer: &Answer) -> Vec<String> {
    answer.endpoints.iter().map(|endpoint| endpoint.ip.to_string()).collect()
}

fn with(double: &Double) -> Dns {
    Dns::with(double.clone(), Settings::default())
}

#[tokio::test(start_paused = true)]
async fn addresses_hosts_and_localhost_need_no_question() {
    let double = Double::default();
    let dns = with(&double);
    for (name, ip) in [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("[fe80::1]", "fe80::1"),
        ("hosts.test", "10.9.9.9"),
        ("HOSTS.test.", "10.9.9.9"),
        ("localhost", "127.0.0.1"),
        ("a.localhost", "127.0.0.1"),
    ] {
        assert_eq!(ips(&dns.resolve(name).await.unwrap()), [ip], "{name}");
    }
    assert_eq!(double.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_for_its_ttl_within_bounds() {
    for (ttl, valid_ttl, holds) in [(5, None, 5), (0, None, 1), (1_000_000, None, 3600), (5, Some(60), 60)] {
        let double = Double::default();
        double.set("a.test", Kind::A, addresses(&["10.0.0.1"], ttl));
        let valid_ttl = valid_ttl.map(Duration::from_secs);
        let dns = Dns::with(double.clone(), Settings { valid_ttl, ..Settings::default() });
        let answer = dns.resolve("a.test").await.unwrap();
        assert_eq!(answer.until, Instant::now() + Duration::from_secs(holds), "TTL {ttl}");
        let asked = double.asked();
        tokio::time::advance(Duration::from_secs(holds) - Duration::from_millis(1)).await;
        dns.resolve("a.test").await.unwrap();
        assert_eq!(double.asked(), asked, "TTL {ttl}");
        tokio::time::advance(Duration::from_millis(2)).await;
        double.set("a.test", Kind::A, addresses(&["10.0.0.2"], ttl));
        assert_eq!(ips(&dns.resolve("a.test").await.unwrap()), ["10.0.0.2"], "TTL {ttl}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_once_share_one_question() {
    let double = Double::default();
    double.set("a.test", Kind::Srv, Err(DnsError::Absent));
    double.set("a.test", Kind::A, addresses(&["10.0.0.1"], 10));
    let dns = with(&double);
    let asks: Vec<_> = (0..20)
        .map(|_| {
            let dns = dns.clone();
            tokio::spawn(async move { dns.resolve("a.test").await })
        })
        .collect();
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
    assert_eq!(double.asked(), 2, "one of SRV, one of A");
}

#[tokio::test(start_paused = true)]
async fn the_first_kind_with_records_wins_and_is_asked_first_next_time() {
    let double = Double::default();
    double.set("a.test", Kind::A, addresses(&["10.0.0.1"], 1));
    double.set("a.test", Kind::Aaaa, addresses(&["::2"], 1));
    let dns = with(&double);
    assert_eq!(ips(&dns.resolve("a.test").await.unwrap()), ["10.0.0.1"]);
    let asked = double.asked();
    tokio::time::advance(Duration::from_secs(2)).await;
    dns.resolve("a.test").await.unwrap();
    assert_eq!(double.asked(), asked + 1);
    // AAAA where there is no A any more.
    double.set("a.test", Kind::A, Err(DnsError::Absent));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(ips(&dns.resolve("a.test").await.unwrap()), ["::2"]);
}

#[tokio::test(start_paused = true)]
async fn srv_gives_port_weight_and_name_of_the_best_priority() {
    let double = Double::default();
    let data = vec![
        service(2, 10, 9000, "spare.test."),
        service(1, 30, 8001, "one.test."),
        service(1, 0, 0, "two.test."),
        service(1, 5, 8003, "gone.test."),
    ];
    double.set("srv.test", Kind::Srv, Ok(Records { data, ttl: Duration::from_secs(60) }));
    double.set("one.test", Kind::A, addresses(&["10.0.0.1"], 30));
    double.set("two.test", Kind::A, addresses(&["10.0.0.2"], 20));
    double.set("spare.test", Kind::A, addresses(&["10.0.0.9"], 20));
    let answer = with(&double).resolve("srv.test").await.unwrap();
    let seen: Vec<_> = answer
        .endpoints
        .iter()
        .map(|endpoint| {
            let service = endpoint.service.clone().unwrap();
            (endpoint.ip.to_string(), service.port, service.weight, service.name.to_string())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("10.0.0.1".into(), Some(8001), 30, "one.test".into()),
            ("10.0.0.2".into(), None, 1, "two.test".into())
        ]
    );
    assert_eq!(answer.until, Instant::now() + Duration::from_secs(20), "the shortest TTL on the way");
}

#[tokio::test(start_paused = true)]
async fn absent_only_if_nobody_failed() {
    let unanswered = || DnsError::Unanswered("SERVFAIL".into());
    for (srv, a, expected) in [
        (DnsError::Absent, DnsError::Absent, DnsError::Absent),
        (DnsError::Absent, unanswered(), unanswered()),
        (unanswered(), DnsError::Absent, unanswered()),
    ] {
        let double = Double::default();
        double.set("a.test", Kind::Srv, Err(srv));
        double.set("a.test", Kind::A, Err(a));
        assert_eq!(with(&double).resolve("a.test").await, Err(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_soon_asked_again() {
    let double = Double::default();
    let dns = with(&double);
    dns.resolve("a.test").await.unwrap_err();
    double.set("a.test", Kind::A, addresses(&["10.0.0.1"], 10));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ips(&dns.resolve("a.test").await.unwrap()), ["10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn names_that_are_kept_are_bounded() {
    let double = Double::default();
    let dns = with(&double);
    for i in 0..KEPT + 10 {
        dns.0.cell(&format!("{i}.test"));
    }
    assert!(dns.0.names.lock().unwrap().len() <= KEPT);
}

/// A real server, real sockets, real time: the answer changes, and the name follows it after its TTL of a second.
#[tokio::test]
async fn a_server_whose_answer_changes() {
    let server = server::Server::start().await;
    server.set("app.test", server::Reply::A(vec!["10.1.0.2", "10.1.0.1"], 1));
    let settings = Settings { servers: vec![server.address], hosts_file: false, ..Settings::default() };
    let dns = Dns::new(settings).unwrap();
    let answer = dns.resolve("app.test").await.unwrap();
    assert_eq!(ips(&answer), ["10.1.0.1", "10.1.0.2"]);
    server.set("app.test", server::Reply::A(vec!["10.1.0.3"], 1));
    tokio::time::sleep_until(answer.until).await;
    assert_eq!(ips(&dns.resolve("app.test").await.unwrap()), ["10.1.0.3"]);
    assert_eq!(dns.resolve("nothing.test").await, Err(DnsError::Absent));
    server.set("broken.test", server::Reply::ServFail);
    assert!(matches!(dns.resolve("broken.test").await, Err(DnsError::Unanswered(_))));
    server.set("srv.test", server::Reply::Srv(3, 8123, "app.test"));
    let service = dns.resolve("srv.test").await.unwrap().endpoints[0].service.clone().unwrap();
    assert_eq!((service.port, service.weight, &*service.name), (Some(8123), 3, "app.test"));
    server.set("silent.test", server::Reply::Silence);
    let (timeout, attempts) = (Duration::from_millis(100), 1);
    let settings = Settings { servers: vec![server.address], timeout, attempts, ..Settings::default() };
    let outcome = Dns::new(settings).unwrap().resolve("silent.test").await;
    assert!(matches!(outcome, Err(DnsError::Unanswered(_))), "{outcome:?}");
}

/// What the system says of short names counts whoever is asked.
#[tokio::test]
async fn short_names_are_searched_for() {
    let server = server::Server::start().await;
    server.set("app.corp.test", server::Reply::A(vec!["10.1.0.1"], 1));
    server.set("app.ns", server::Reply::A(vec!["10.1.0.2"], 1));
    server.set("app.ns.corp.test", server::Reply::A(vec!["10.1.0.3"], 1));
    let settings = Settings { servers: vec![server.address], hosts_file: false, ..Settings::default() };
    for (resolv_conf, name, expected) in [
        ("", "app", None),
        ("search corp.test\n", "app", Some("10.1.0.1")),
        ("nameserver 10.255.255.1\nsearch corp.test\n", "app", Some("10.1.0.1")),
        ("search corp.test\n", "app.ns", Some("10.1.0.2")),
        ("search corp.test\noptions ndots:5\n", "app.ns", Some("10.1.0.3")),
    ] {
        let system = system::System::with(&settings, resolv_conf.as_bytes()).unwrap();
        let answer = Dns::with(system, settings.clone()).resolve(name).await;
        let got = answer.ok().map(|answer| ips(&answer));
        assert_eq!(got, expected.map(|ip| vec![ip.to_owned()]), "{resolv_conf:?} {name}");
    }
}
