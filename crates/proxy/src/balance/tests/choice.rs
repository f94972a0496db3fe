//! Who is chosen, by each algorithm.

use proptest::prelude::*;

use super::*;

fn with(algorithm: Algorithm) -> Upstream {
    Upstream { algorithm, ..upstream() }
}

async fn balancer(upstream: &Upstream, of: &[(&str, u32)]) -> Arc<Balancer> {
    let control = control(&Names::default());
    running(Balancer::upstream(upstream, &targets(of), None, &control), &control).await
}

#[tokio::test(start_paused = true)]
async fn round_robin_is_exact_over_a_period_wherever_it_starts() {
    let balancer = balancer(
        &with(Algorithm::RoundRobin),
        &[("10.0.0.1:80", 50), ("10.0.0.2:80", 30), ("10.0.0.3:80", 20)],
    )
    .await;
    for start in 0..10 {
        let picks = picks(&balancer, 10);
        let expected = [("10.0.0.1:80", 5), ("10.0.0.2:80", 3), ("10.0.0.3:80", 2)];
        assert_eq!(counts(&picks), expected, "{start}");
        balancer.pick(&Key::NONE, &Tried::default());
    }
}

#[tokio::test(start_paused = true)]
async fn weight_zero_is_out_and_nothing_is_none() {
    let upstream = with(Algorithm::RoundRobin);
    let one = balancer(&upstream, &[("10.0.0.1:80", 0), ("10.0.0.2:80", 1)]).await;
    assert_eq!(counts(&picks(&one, 10)), [("10.0.0.2:80", 10)]);
    for nobody in [&[][..], &[("10.0.0.1:80", 0)]] {
        assert_eq!(picks(&*balancer(&upstream, nobody).await, 1), ["none"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_those_not_tried_and_then_to_anybody() {
    for algorithm in
        [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::Latency, Algorithm::ConsistentHashing]
    {
        let balancer =
            balancer(&with(algorithm), &[("10.0.0.1:80", 9), ("10.0.0.2:80", 1), ("10.0.0.3:80", 5)]).await;
        for _ in 0..20 {
            let (mut tried, mut seen) = (Tried::default(), Vec::new());
            for _ in 0..3 {
                let peer = balancer.pick(&Key::NONE, &tried).unwrap();
                tried.add(&peer);
                seen.push(peer.address.to_string());
            }
            seen.sort();
            assert_eq!(seen, ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"], "{algorithm:?}");
            assert!(balancer.pick(&Key::NONE, &tried).is_some(), "{algorithm:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn least_connections_by_weight_and_in_turn() {
    let balancer =
        balancer(&with(Algorithm::LeastConnections), &[("10.0.0.1:80", 30), ("10.0.0.2:80", 10)]).await;
    let held: Vec<_> = (0..40).map(|_| balancer.pick(&Key::NONE, &Tried::default()).unwrap()).collect();
    let names: Vec<_> = held.iter().map(|peer| peer.address.to_string()).collect();
    assert_eq!(counts(&names), [("10.0.0.1:80", 30), ("10.0.0.2:80", 10)]);
    // Those that end make room.
    let (light, heavy): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|peer| peer.address.to_string() == "10.0.0.2:80");
    drop(light);
    let more: Vec<_> = (0..10).map(|_| balancer.pick(&Key::NONE, &Tried::default()).unwrap()).collect();
    assert!(more.iter().all(|peer| peer.address.to_string() == "10.0.0.2:80"));
    drop((heavy, more));
    assert!(balancer.health().iter().all(|peer| peer.active == 0));
    assert_eq!(
        counts(&picks(&balancer, 10)),
        [("10.0.0.1:80", 10)],
        "at rest the heavier is first, as in Kong"
    );
}

#[tokio::test(start_paused = true)]
async fn least_connections_among_equals_goes_round() {
    let balancer = balancer(
        &with(Algorithm::LeastConnections),
        &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1)],
    )
    .await;
    let picks = picks(&balancer, 30);
    assert_eq!(counts(&picks), [("10.0.0.1:80", 10), ("10.0.0.2:80", 10), ("10.0.0.3:80", 10)]);
}

#[tokio::test(start_paused = true)]
async fn latency_prefers_the_fast_and_tries_the_slow_again() {
    let balancer = balancer(&with(Algorithm::Latency), &[("10.0.0.1:80", 10), ("10.0.0.2:80", 10)]).await;
    let took = |balancer: &Balancer, peer: &Arc<Peer>, slow: &str| {
        let latency = if peer.address.to_string() == slow { 500 } else { 5 };
        balancer.report(peer, Outcome::Status(200), Duration::from_millis(latency));
    };
    let run = |slow: &str, n: usize| {
        let mut seen = Vec::new();
        for _ in 0..n {
            let peer = balancer.pick(&Key::NONE, &Tried::default()).unwrap();
            took(&balancer, &peer, slow);
            seen.push(peer.address.to_string());
        }
        seen
    };
    run("10.0.0.1:80", 20);
    let seen = run("10.0.0.1:80", 100);
    assert_eq!(counts(&seen), [("10.0.0.2:80", 100)]);
    // Long after, the average of the slow one has sunk below that of the fast one, which is fresh.
    tokio::time::advance(Duration::from_secs(60)).await;
    let other = balancer.pick(&Key::NONE, &Tried::default()).unwrap();
    took(&balancer, &other, "10.0.0.2:80");
    drop(other);
    assert!(counts(&run("10.0.0.2:80", 50)).iter().any(|(address, n)| *address == "10.0.0.1:80" && *n > 25));
}

#[tokio::test(start_paused = true)]
async fn latency_does_not_take_a_refusal_for_speed() {
    let balancer = balancer(&with(Algorithm::Latency), &[("10.0.0.1:80", 10), ("10.0.0.2:80", 10)]).await;
    let mut refused = 0;
    for _ in 0..100 {
        let peer = balancer.pick(&Key::NONE, &Tried::default()).unwrap();
        let bad = peer.address.to_string() == "10.0.0.1:80";
        refused += usize::from(bad);
        let (outcome, latency) = if bad { (Outcome::TcpFailure, 0) } else { (Outcome::Status(200), 20) };
        balancer.report(&peer, outcome, Duration::from_millis(latency));
    }
    assert!(refused <= 2, "{refused}");
}

fn entries(weights: &[u32]) -> Vec<Entry> {
    (0u8..)
        .zip(weights)
        .map(|(i, weight)| {
            let address = SocketAddr::from(([10, 0, 0, i], 80));
            Entry {
                peer: Arc::new(Peer::new(address, "a".into(), address.to_string().into())),
                weight: *weight,
            }
        })
        .collect()
}

fn owners(entries: &[Entry], keys: u64) -> Vec<SocketAddr> {
    let ring = consistent_hashing::Ring::new(entries, 10_000);
    (0..keys)
        .map(|key| ring.choose(entries, hash::mixed(key), |_| true).map(|entry| entry.peer.address).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_period_has_each_as_often_as_its_weight(weights in prop::collection::vec(0u32..60, 1..9)) {
        let entries = entries(&weights);
        let period = round_robin::period(&entries, |_| true);
        let total: u32 = weights.iter().sum();
        for (i, weight) in weights.iter().enumerate() {
            let turns = period.iter().filter(|index| **index as usize == i).count() as u32;
            // In lowest terms: turns / period = weight / total.
            prop_assert_eq!(turns * total, *weight * period.len() as u32);
        }
    }

    #[test]
    fn a_long_period_is_cut_and_nobody_is_left_out(weights in prop::collection::vec(1u32..65_535, 1..9)) {
        let entries = entries(&weights);
        let period = round_robin::period(&entries, |_| true);
        prop_assert!(period.len() <= 16_384 + weights.len());
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (i, weight) in weights.iter().enumerate() {
            let share = period.iter().filter(|index| **index as usize == i).count() as f64 / period.len() as f64;
            prop_assert!(share > 0.0 && (share - f64::from(*weight) / total).abs() < 0.002);
        }
    }

    #[test]
    fn one_more_moves_only_its_own_share(weights in prop::collection::vec(1u32..100, 2..12)) {
        let (before, after) = (entries(&weights[1..]), entries(&weights)[1..].to_vec());
        let mut after = after;
        // The same peers and one more, in whatever place.
        after.iter_mut().zip(&before).for_each(|(after, before)| after.peer = before.peer.clone());
        let newcomer = Entry { weight: weights[0], ..entries(&[1]).remove(0) };
        let newcomer = Entry {
            peer: Arc::new(Peer::new("10.9.9.9:80".parse().unwrap(), "n".into(), "n".into())),
            ..newcomer
        };
        after.insert(weights.len() / 2, newcomer);
        let (old, new) = (owners(&before, 5000), owners(&after, 5000));
        let mut moved = 0;
        for (old, new) in old.iter().zip(&new) {
            if old != new {
                prop_assert_eq!(new.to_string(), "10.9.9.9:80", "a value moved between peers that stayed");
                moved += 1;
            }
        }
        let share = f64::from(weights[0]) / weights.iter().sum::<u32>() as f64;
        prop_assert!((f64::from(moved) / 5000.0 - share).abs() < 0.05, "moved {} of {}", moved, share);
    }

    #[test]
    fn shares_of_the_ring_follow_the_weights(weights in prop::collection::vec(1u32..100, 1..12)) {
        let entries = entries(&weights);
        let owners = owners(&entries, 10_000);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for entry in &entries {
            let share = owners.iter().filter(|owner| **owner == entry.peer.address).count() as f64 / 10_000.0;
            prop_assert!((share - f64::from(entry.weight) / total).abs() < 0.03);
        }
    }
}

#[test]
fn the_lightest_keeps_a_turn_in_a_period_that_is_cut() {
    let period = round_robin::period(&entries(&[65_535, 65_534, 1]), |_| true);
    assert_eq!(period.iter().filter(|index| **index == 2).count(), 1);
}

#[test]
fn a_ring_is_bounded() {
    let weights = vec![1; 200];
    let ring = consistent_hashing::Ring::new(&entries(&weights), 65_536);
    assert_eq!(ring.slots(), 65_536);
    let many: Vec<_> = (0..400u32)
        .map(|i| {
            let address = SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 80));
            Entry { peer: Arc::new(Peer::new(address, "a".into(), "a".into())), weight: 1 }
        })
        .collect();
    assert_eq!(consistent_hashing::Ring::new(&many, 65_536).slots(), (1 << 24) / 400);
}
