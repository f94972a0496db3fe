//! Whose connection ends when another one comes.

use std::time::Duration;

use super::*;

const BOUNDS: Bounds = Bounds { all: 6, strangers: 4, peer: 3 };

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    /// It never asked for anything.
    New,
    /// It asked, and was refused.
    Refused,
    /// It asks for the first time.
    Asking,
    /// It was let in once.
    Admitted,
    /// It was let in once, and asks for something.
    Busy,
}

async fn is_asked(place: &Place) -> bool {
    tokio::time::timeout(Duration::ZERO, place.asked()).await.is_ok()
}

/// One connection a second, in this order.
async fn taken(connections: &[(&str, Is)]) -> (Arc<Places>, Vec<Place>) {
    let places = Places::new(BOUNDS);
    let mut all = Vec::new();
    for (peer, is) in connections {
        let place = places.take(peer.parse().unwrap()).unwrap();
        if *is != Is::New {
            place.begin();
        }
        match is {
            Is::New | Is::Asking => {}
            Is::Refused => place.end(false),
            Is::Admitted => place.end(true),
            Is::Busy => {
                place.end(true);
                place.begin();
            }
        }
        all.push(place);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    (places, all)
}

#[tokio::test(start_paused = true)]
async fn which_one_makes_room() {
    use Is::{Admitted, Asking, Busy, New, Refused};
    // Who is there, who comes, whether there is a place, and whose connection ends.
    type Case = (&'static [(&'static str, Is)], &'static str, bool, Option<usize>);
    let cases: [Case; 12] = [
        (&[], "10.0.0.1", true, None),
        (&[("10.0.0.1", Admitted); 2], "10.0.0.1", true, None),
        // A peer has all that it may have: its own makes room, whatever the others do.
        (
            &[("10.0.0.9", New), ("10.0.0.1", Admitted), ("10.0.0.1", Admitted), ("10.0.0.1", Admitted)],
            "10.0.0.1",
            true,
            Some(1),
        ),
        (&[("10.0.0.1", Busy), ("10.0.0.1", Admitted), ("10.0.0.1", New)], "10.0.0.1", true, Some(2)),
        (
            &[("10.0.0.9", New), ("10.0.0.1", Busy), ("10.0.0.1", Busy), ("10.0.0.1", Asking)],
            "10.0.0.1",
            false,
            None,
        ),
        // Networks of IPv6 are peers, and so are addresses of IPv4 however they are written.
        (&[("2001:db8::1", New), ("2001:db8::2", New), ("2001:db8::3", New)], "2001:db8::4", true, Some(0)),
        (&[("::ffff:10.0.0.1", New), ("10.0.0.1", New), ("10.0.0.1", New)], "10.0.0.1", true, Some(0)),
        // Strangers have all that they may have: one of them makes room, not one of those who may come.
        (
            &[
                ("10.0.0.9", Admitted),
                ("10.0.0.1", New),
                ("10.0.0.2", Refused),
                ("10.0.0.3", New),
                ("10.0.0.4", New),
            ],
            "10.0.0.5",
            true,
            Some(1),
        ),
        (
            &[
                ("10.0.0.9", Admitted),
                ("10.0.0.1", Asking),
                ("10.0.0.2", Asking),
                ("10.0.0.3", Asking),
                ("10.0.0.4", Asking),
            ],
            "10.0.0.5",
            false,
            None,
        ),
        // All places are taken: a stranger makes room, else the one that has waited longest.
        (
            &[
                ("10.0.0.1", Admitted),
                ("10.0.0.2", Admitted),
                ("10.0.0.3", Admitted),
                ("10.0.0.4", Admitted),
                ("10.0.0.5", New),
                ("10.0.0.6", Refused),
            ],
            "10.0.0.7",
            true,
            Some(4),
        ),
        (
            &[
                ("10.0.0.1", Busy),
                ("10.0.0.2", Admitted),
                ("10.0.0.3", Admitted),
                ("10.0.0.4", Admitted),
                ("10.0.0.5", Asking),
                ("10.0.0.6", Admitted),
            ],
            "10.0.0.7",
            true,
            Some(1),
        ),
        (
            &[
                ("10.0.0.1", Busy),
                ("10.0.0.2", Busy),
                ("10.0.0.3", Busy),
                ("10.0.0.4", Busy),
                ("10.0.0.5", Busy),
                ("10.0.0.6", Busy),
            ],
            "10.0.0.7",
            false,
            None,
        ),
    ];
    for (there, comes, has_place, ends) in cases {
        let (places, all) = taken(there).await;
        let place = places.take(comes.parse().unwrap());
        assert_eq!(place.is_some(), has_place, "{there:?}");
        for (number, other) in all.iter().enumerate() {
            assert_eq!(is_asked(other).await, Some(number) == ends, "{there:?}: {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_used_last_stays() {
    let (places, all) = taken(&[("10.0.0.1", Is::Admitted); 3]).await;
    all[0].begin();
    all[0].end(true);
    let _place = places.take("10.0.0.1".parse().unwrap()).unwrap();
    assert!(is_asked(&all[1]).await && !is_asked(&all[0]).await);
}

/// Those that were asked and do not end are more than the bounds say, but have a bound, too.
#[tokio::test(start_paused = true)]
async fn who_does_not_end_is_counted() {
    let places = Places::new(BOUNDS);
    let mut all = Vec::new();
    while let Some(place) = places.take("10.0.0.1".parse().unwrap()) {
        all.push(place);
    }
    assert_eq!(all.len(), 2 * BOUNDS.all);
    all.pop();
    all.push(places.take("10.0.0.1".parse().unwrap()).unwrap());
    let emptied = places.emptied();
    drop(all);
    emptied.await;
    assert!(places.state().connections.is_empty());
}
