//! The counters of one peer, as histories.

use super::*;

fn rules(successes: u32, tcp: u32, timeouts: u32, http: u32) -> Rules {
    let healthy = Healthy { interval: 0.0, http_statuses: vec![200, 302], successes };
    let unhealthy = Unhealthy {
        interval: 0.0,
        http_statuses: vec![429, 500, 503],
        tcp_failures: tcp,
        timeouts,
        http_failures: http,
    };
    Rules::new(&healthy, &unhealthy)
}

/// `s` success, `h` bad status, `t` TCP failure, `o` timeout, `m` malformed, `x` a status that means nothing,
/// `c` a connection. Returns `+` or `-` for each that left the peer up or down.
fn history(rules: &Rules, events: &str) -> String {
    let health = Health::default();
    events
        .chars()
        .map(|event| {
            let outcome = match event {
                's' => Outcome::Status(200),
                'h' => Outcome::Status(500),
                't' => Outcome::TcpFailure,
                'o' => Outcome::Timeout,
                'm' => Outcome::Malformed,
                'c' => Outcome::Connected,
                _ => Outcome::Status(404),
            };
            let before = health.is_up();
            let change = rules.meaning(outcome).and_then(|(count, limit)| health.count(count, limit));
            assert_eq!(change, (health.is_up() != before).then_some(health.is_up()), "{events}");
            if health.is_up() { '+' } else { '-' }
        })
        .collect()
}

#[test]
fn transitions() {
    for (rules, events, expected, why) in [
        (rules(2, 2, 2, 3), "hhh", "++-", "the limit of its own kind"),
        (rules(2, 2, 2, 3), "tt", "+-", "the limit of TCP failures"),
        (rules(2, 2, 2, 3), "oo", "+-", "the limit of timeouts"),
        (rules(2, 2, 2, 3), "mmm", "++-", "what is no HTTP counts as a bad status"),
        (rules(2, 2, 2, 3), "hhtoh", "++++-", "kinds are counted apart, and do not reset each other"),
        (rules(2, 2, 2, 3), "hhshhh", "+++++-", "a success resets every failure"),
        (rules(2, 2, 2, 3), "toshto", "++++++", "of every kind"),
        (rules(2, 2, 2, 3), "ttss", "+--+", "two successes bring it back"),
        (rules(2, 2, 2, 3), "ttcc", "+--+", "so do connections"),
        (rules(2, 2, 2, 3), "ttstss", "+----+", "a failure on the way resets the successes"),
        (rules(2, 2, 2, 3), "ttsststt", "+--++++-", "the counters start again after it came back"),
        (rules(2, 2, 2, 3), "xxxxxx", "++++++", "a status in neither list says nothing"),
        (rules(0, 2, 2, 3), "ttssss", "+-----", "without a limit of successes it stays out"),
        (rules(0, 2, 2, 3), "tst", "++-", "nor do successes then reset failures, as in Kong"),
        (rules(2, 0, 0, 0), "thomthom", "++++++++", "without limits nothing takes it out"),
        (rules(1, 1, 1, 1), "hstsos", "-+-+-+", "limits of one"),
    ] {
        assert_eq!(history(&rules, events), expected, "{events}: {why}");
    }
}

#[test]
fn by_hand() {
    let rules = rules(2, 2, 2, 2);
    let health = Health::default();
    assert!(!health.set(true));
    assert!(health.set(false));
    assert!(!health.is_up());
    assert!(health.set(true));
    let (count, limit) = rules.meaning(Outcome::TcpFailure).unwrap();
    assert_eq!(health.count(count, limit), None);
    // Setting it forgets what was counted.
    health.set(true);
    assert_eq!(health.count(count, limit), None);
    assert_eq!(health.count(count, limit), Some(false));
}

#[test]
fn success_of_a_healthy_peer_writes_nothing() {
    for count in [Count::Success, Count::Http, Count::Tcp, Count::Timeout] {
        let goal = if count == Count::Success { HEALTHY } else { UNHEALTHY };
        assert_eq!(counted(goal << STATE, count, 5), None);
    }
}

#[test]
fn limits_up_to_the_schemas_own() {
    let rules = rules(255, 255, 1000, 1);
    assert_eq!(rules.meaning(Outcome::Timeout), Some((Count::Timeout, 255)));
    let health = Health::default();
    let falls = (1..=300).filter(|_| health.count(Count::Tcp, 255).is_some()).count();
    assert_eq!((falls, health.is_up()), (1, false));
}

#[test]
fn statuses_out_of_range_are_no_trouble() {
    let statuses = Statuses::new(&[0, 63, 64, 999, 1023, 1024, u16::MAX]);
    let found: Vec<_> = (0..=u16::MAX).filter(|status| statuses.contains(*status)).collect();
    assert_eq!(found, [0, 63, 64, 999, 1023]);
}
