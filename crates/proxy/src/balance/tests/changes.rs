//! What changes while a balancer lives: names, targets, configurations, health.

use super::*;

/// Passive checks with these limits.
fn passive(tcp_failures: u32, timeouts: u32, http_failures: u32, successes: u32) -> Upstream {
    let mut upstream = upstream();
    let passive = &mut upstream.healthchecks.passive;
    passive.healthy.successes = successes;
    passive.unhealthy.tcp_failures = tcp_failures;
    passive.unhealthy.timeouts = timeouts;
    passive.unhealthy.http_failures = http_failures;
    upstream
}

/// Reports the outcome for the peer with this address, as a request that went there would.
fn report(balancer: &Balancer, address: &str, outcome: Outcome) {
    let places = balancer.shared.places().clone();
    let mut entries = places.iter().flat_map(|resolved| &resolved.entries);
    let entry = entries.find(|entry| entry.peer.address.to_string() == address).unwrap();
    balancer.report(&entry.peer, outcome, Duration::from_millis(1));
}

fn states(balancer: &Balancer) -> Vec<(String, Option<String>, &'static str)> {
    let health = balancer.health();
    health
        .iter()
        .map(|peer| {
            (peer.target.to_string(), peer.address.map(|address| address.to_string()), peer.state.as_str())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_answer_moves_traffic_when_the_old_one_ends() {
    let names = Names::default();
    names.set("app.test", &["10.0.0.1", "10.0.0.2"], 5);
    let control = control(&names);
    let balancer = Balancer::single("app.test", 8080, &control);
    assert_eq!(picks(&balancer, 1), ["none"]);
    let balancer = running(balancer, &control).await;
    assert_eq!(counts(&picks(&balancer, 10)), [("10.0.0.1:8080", 5), ("10.0.0.2:8080", 5)]);
    let peer = balancer.pick(&Key::NONE, &Tried::default()).unwrap();
    assert_eq!((&*peer.name, &*peer.target, peer.port()), ("app.test", "app.test:8080", 8080));
    names.set("app.test", &["10.0.0.3"], 5);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(counts(&picks(&balancer, 10)).len(), 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(counts(&picks(&balancer, 10)), [("10.0.0.3:8080", 10)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_serves_while_nobody_answers_but_not_once_the_name_is_gone() {
    let names = Names::default();
    names.set("app.test", &["10.0.0.1"], 5);
    let control = control(&names);
    let balancer = running(Balancer::single("app.test", 80, &control), &control).await;
    names.put("app.test", Err(DnsError::Unanswered("SERVFAIL".into())));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(picks(&balancer, 1), ["10.0.0.1:80"]);
    assert!(balancer.health()[0].dns_error.as_deref().unwrap().contains("SERVFAIL"));
    names.put("app.test", Err(DnsError::Absent));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(picks(&balancer, 1), ["none"]);
    assert_eq!(states(&balancer), [("app.test:80".into(), None, "DNS_ERROR")]);
    names.set("app.test", &["10.0.0.1"], 5);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(picks(&balancer, 1), ["10.0.0.1:80"]);
    assert_eq!(balancer.health()[0].dns_error, None);
}

#[tokio::test(start_paused = true)]
async fn a_target_without_an_address_is_out_until_it_has_one() {
    let names = Names::default();
    let of = targets(&[("10.0.0.1:80", 10), ("late.test:81", 10)]);
    let control = control(&names);
    let balancer = running(Balancer::upstream(&upstream(), &of, None, &control), &control).await;
    assert_eq!(counts(&picks(&balancer, 10)), [("10.0.0.1:80", 10)]);
    assert_eq!(states(&balancer)[1], ("late.test:81".into(), None, "DNS_ERROR"));
    names.set("late.test", &["10.0.0.2"], 5);
    // The first pause is a second, and grows no further than half a minute.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(counts(&picks(&balancer, 10)), [("10.0.0.1:80", 5), ("10.0.0.2:81", 5)]);
}

#[tokio::test(start_paused = true)]
async fn every_address_of_a_name_has_the_weight_of_its_target() {
    let names = Names::default();
    names.set("app.test", &["10.0.0.1", "10.0.0.2"], 5);
    let of = targets(&[("app.test:80", 10), ("10.0.0.3:80", 20)]);
    let control = control(&names);
    let balancer = running(Balancer::upstream(&upstream(), &of, None, &control), &control).await;
    let expected = [("10.0.0.1:80", 10), ("10.0.0.2:80", 10), ("10.0.0.3:80", 20)];
    assert_eq!(counts(&picks(&balancer, 40)), expected);
}

#[tokio::test(start_paused = true)]
async fn srv_records_have_their_own_ports_and_weights_and_names_if_asked() {
    for (use_srv_name, name) in [(false, "srv.test"), (true, "one.test")] {
        let names = Names::default();
        let service =
            |weight, port, target: &str| Data::Service { priority: 1, weight, port, target: target.into() };
        let data = vec![service(3, 8001, "one.test"), service(1, 0, "two.test")];
        names.put("srv.test", Ok(Records { data, ttl: Duration::from_secs(5) }));
        names.set("one.test", &["10.0.0.1"], 5);
        names.set("two.test", &["10.0.0.2"], 5);
        let upstream = Upstream { use_srv_name, ..upstream() };
        let of = targets(&[("srv.test:80", 100)]);
        let control = control(&names);
        let balancer = running(Balancer::upstream(&upstream, &of, None, &control), &control).await;
        assert_eq!(counts(&picks(&balancer, 8)), [("10.0.0.1:8001", 6), ("10.0.0.2:80", 2)]);
        let mut tried = Tried::default();
        let mut seen: Vec<_> = (0..2)
            .map(|_| {
                let peer = balancer.pick(&Key::NONE, &tried).unwrap();
                tried.add(&peer);
                peer.name.to_string()
            })
            .collect();
        seen.sort();
        assert_eq!(seen[0], name);
    }
}

#[tokio::test(start_paused = true)]
async fn who_fails_leaves_and_returns_by_hand() {
    let of = targets(&[("10.0.0.1:80", 10), ("10.0.0.2:80", 10), ("10.0.0.3:80", 10)]);
    for (outcome, times) in
        [(Outcome::TcpFailure, 2), (Outcome::Timeout, 3), (Outcome::Status(500), 4), (Outcome::Malformed, 4)]
    {
        let control = control(&Names::default());
        let balancer = running(Balancer::upstream(&passive(2, 3, 4, 0), &of, None, &control), &control).await;
        for i in 1..=times {
            assert!(states(&balancer).iter().all(|(.., state)| *state == "HEALTHY"), "{outcome:?} {i}");
            report(&balancer, "10.0.0.1:80", outcome);
        }
        assert_eq!(states(&balancer)[0].2, "UNHEALTHY", "{outcome:?}");
        // At once, without the help of a task; then, with the turns made anew, evenly.
        assert!(!picks(&balancer, 30).contains(&"10.0.0.1:80".into()));
        settle().await;
        assert_eq!(counts(&picks(&balancer, 20)), [("10.0.0.2:80", 10), ("10.0.0.3:80", 10)]);
        // Nothing but a hand (or an active check) brings it back.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(states(&balancer)[0].2, "UNHEALTHY");
        assert_eq!(balancer.set_health("10.0.0.1:80".parse().unwrap(), true), 1);
        settle().await;
        assert_eq!(counts(&picks(&balancer, 30)).len(), 3);
        assert_eq!(balancer.changes(), (1, 1));
        assert_eq!(balancer.set_target_health("10.0.0.2:80", false), 1);
        assert_eq!(balancer.set_target_health("10.0.0.9:80", false), 0);
        assert_eq!(states(&balancer)[1].2, "UNHEALTHY");
    }
}

#[tokio::test(start_paused = true)]
async fn the_threshold_is_of_the_weight_and_must_be_passed() {
    for (threshold, down, up) in [
        (0.0, &["10.0.0.1:80"][..], true),
        (0.0, &["10.0.0.1:80", "10.0.0.2:80"], true),
        (0.0, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"], false),
        (50.0, &["10.0.0.2:80"], true),
        // Exactly half is up, which is not more than half.
        (50.0, &["10.0.0.1:80"], false),
        (49.9, &["10.0.0.1:80"], true),
        (50.0, &["10.0.0.2:80", "10.0.0.3:80"], false),
        (100.0, &[], false),
        (99.9, &[], true),
    ] {
        let mut upstream = passive(1, 0, 0, 0);
        upstream.healthchecks.threshold = threshold;
        let of =
            targets(&[("10.0.0.1:80", 50), ("10.0.0.2:80", 30), ("10.0.0.3:80", 20), ("10.0.0.4:80", 0)]);
        let control = control(&Names::default());
        let balancer = running(Balancer::upstream(&upstream, &of, None, &control), &control).await;
        for address in down {
            report(&balancer, address, Outcome::TcpFailure);
        }
        for _ in 0..2 {
            assert_eq!(balancer.is_up(), up, "{threshold} % with {down:?} down");
            assert_eq!(balancer.pick(&Key::NONE, &Tried::default()).is_some(), up, "{threshold} % {down:?}");
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_did_not_change() {
    let control = control(&Names::default());
    let upstream = passive(1, 1, 1, 0);
    let two = [("10.0.0.1:80", 10), ("10.0.0.2:80", 10)];
    let first = running(Balancer::upstream(&upstream, &targets(&two), None, &control), &control).await;
    report(&first, "10.0.0.1:80", Outcome::TcpFailure);
    let turned: Vec<_> = two.iter().rev().copied().collect();
    let same = Balancer::upstream(&upstream.clone(), &targets(&turned), Some(&first), &control);
    assert!(Arc::ptr_eq(&first, &same), "the order of targets means nothing");
    // Another target, another weight: the health of those that stay goes over.
    let three = [("10.0.0.1:80", 99), ("10.0.0.2:80", 10), ("10.0.0.3:80", 10)];
    let second = Balancer::upstream(&upstream, &targets(&three), Some(&first), &control);
    assert!(!Arc::ptr_eq(&first, &second));
    let words: Vec<_> = states(&second).into_iter().map(|(.., word)| word).collect();
    assert_eq!(words, ["UNHEALTHY", "HEALTHY", "HEALTHY"]);
    assert_eq!(second.health()[0].weight, 99);
    // Other rules: everyone starts well.
    let third = Balancer::upstream(&passive(2, 1, 1, 0), &targets(&three), Some(&second), &control);
    assert!(states(&third).iter().all(|(.., word)| *word == "HEALTHY"));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_addresses_of_names() {
    let names = Names::default();
    names.set("app.test", &["10.0.0.1"], 5);
    let control = control(&names);
    let first = Balancer::upstream(&upstream(), &targets(&[("app.test:80", 10)]), None, &control);
    let first = running(first, &control).await;
    let both = targets(&[("app.test:80", 20), ("10.0.0.2:80", 10)]);
    let second = Balancer::upstream(&upstream(), &both, Some(&first), &control);
    assert_eq!(counts(&picks(&second, 30)), [("10.0.0.1:80", 20), ("10.0.0.2:80", 10)], "before any answer");
}

#[tokio::test(start_paused = true)]
async fn what_is_made_and_dropped_has_asked_nobody_and_changed_nothing() {
    let names = Names::default();
    names.set("app.test", &["10.0.0.1"], 5);
    let control = control(&names);
    let of = |weight| targets(&[("app.test:80", weight)]);
    let first = running(Balancer::upstream(&passive(1, 1, 1, 0), &of(10), None, &control), &control).await;
    names.set("app.test", &["10.0.0.2"], 5);
    let refused = Balancer::upstream(&passive(1, 1, 1, 0), &of(20), Some(&first), &control);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(refused.health()[0].address.unwrap().to_string(), "10.0.0.1:80", "it has no tasks");
    drop(refused);
    assert_eq!((picks(&first, 1), first.health()[0].weight), (vec!["10.0.0.2:80".to_owned()], 10));
}

#[tokio::test(start_paused = true)]
async fn without_checks_the_word_is_off_and_nothing_falls() {
    let of = targets(&[("10.0.0.1:80", 10), ("10.0.0.2:80", 0)]);
    let control = control(&Names::default());
    let balancer = running(Balancer::upstream(&upstream(), &of, None, &control), &control).await;
    for _ in 0..300 {
        report(&balancer, "10.0.0.1:80", Outcome::TcpFailure);
    }
    assert!(states(&balancer).iter().all(|(.., word)| *word == "HEALTHCHECKS_OFF"));
    assert_eq!(picks(&balancer, 1), ["10.0.0.1:80"]);
}

#[test]
fn places_as_written() {
    for (text, host, port) in [
        ("a.test:80", "a.test", 80),
        ("a.test", "a.test", 8000),
        ("10.0.0.1:81", "10.0.0.1", 81),
        ("10.0.0.1", "10.0.0.1", 8000),
        ("[::1]:82", "[::1]", 82),
        ("[::1]", "[::1]", 8000),
        ("::1", "::1", 8000),
    ] {
        let place = Place::new(text, 1);
        assert_eq!((&*place.host, place.port), (host, port), "{text}");
    }
}

/// Many workers report and choose while peers fall and rise: the last word must be about the last state.
#[tokio::test]
async fn judged_from_many_threads() {
    let of = targets(&[("10.0.0.1:80", 10), ("10.0.0.2:80", 10)]);
    let mut upstream = passive(1, 0, 0, 1);
    upstream.healthchecks.threshold = 50.0;
    let control = control(&Names::default());
    let balancer = running(Balancer::upstream(&upstream, &of, None, &control), &control).await;
    for round in 0..200 {
        std::thread::scope(|scope| {
            for address in ["10.0.0.1:80", "10.0.0.2:80"] {
                let balancer = &balancer;
                scope.spawn(move || {
                    for i in 0..50 {
                        let outcome = if i % 2 == 0 { Outcome::TcpFailure } else { Outcome::Status(200) };
                        report(balancer, address, outcome);
                        let _ = balancer.pick(&Key::NONE, &Tried::default());
                    }
                });
            }
        });
        assert!(balancer.is_up(), "{round}");
    }
}
