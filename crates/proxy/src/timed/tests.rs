//! Limits of time, phase by phase, and who makes room.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits::new(4 * SECOND, 3 * SECOND, 2 * SECOND, SECOND)
}

/// Looks over as often as there are ticks in so many seconds.
fn pass(watch: &Watch, seconds: u32) {
    (0..seconds * 20 + 1).for_each(|_| watch.tick());
}

#[test]
fn each_phase_has_a_limit_of_its_own() {
    for (phase, seconds) in [(Phase::Idle, 4), (Phase::Head, 3), (Phase::Body, 2)] {
        let watch = Watch::default();
        let timing = watch.timing(phase, limits());
        timing.reading.store(true, RELAXED);
        pass(&watch, seconds - 1);
        assert!(!timing.has_expired(), "{phase:?}");
        pass(&watch, 1);
        assert!(timing.has_expired(), "{phase:?}");
    }
    let watch = Watch::default();
    let timing = watch.timing(Phase::Quiet, limits());
    pass(&watch, 1000);
    assert!(!timing.has_expired());
}

/// One byte a second, five times; then nothing.
#[tokio::test]
async fn a_head_that_trickles_ends_and_a_body_that_goes_on_does_not() {
    for (phase, bytes_seen) in [(Phase::Idle, 3), (Phase::Body, 5)] {
        let watch = Watch::default();
        let (mut peer, io) = duplex(64);
        let mut io = Timed::new(io, watch.timing(phase, limits()));
        let mut seen = 0;
        for _ in 0..5 {
            peer.write_all(b"x").await.unwrap();
            seen += u32::from(io.read_u8().await.is_ok());
            pass(&watch, 1);
        }
        assert_eq!(seen, bytes_seen, "{phase:?}");
    }
}

/// Nobody waits for the next byte: the peer is not to blame.
#[tokio::test]
async fn a_body_that_nobody_reads_does_not_end() {
    let watch = Watch::default();
    let (mut peer, io) = duplex(64);
    let timing = watch.timing(Phase::Body, limits());
    let mut io = Timed::new(io, Arc::clone(&timing));
    peer.write_all(b"xy").await.unwrap();
    io.read_u8().await.unwrap();
    pass(&watch, 100);
    assert!(!timing.has_expired());
}

#[tokio::test]
async fn a_peer_that_does_not_read_ends() {
    let watch = Watch::default();
    let (_peer, io) = duplex(4);
    let mut io = Timed::new(io, watch.timing(Phase::Quiet, limits()));
    let write = async {
        let error = io.write_all(b"more than it takes").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    };
    let look = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
            watch.tick();
        }
    };
    tokio::join!(write, look);
}

#[test]
fn a_stream_without_room_ends_its_connection() {
    let watch = Watch::default();
    let timing = watch.timing(Phase::Quiet, limits());
    timing.hold(true);
    timing.hold(true);
    pass(&watch, 0);
    timing.hold(false);
    (0..20).for_each(|_| watch.tick());
    assert!(!timing.has_expired());
    pass(&watch, 1);
    assert!(timing.has_expired());
}

#[tokio::test]
async fn what_comes_before_an_answer_is_bounded() {
    let watch = Watch::default();
    let (mut peer, io) = duplex(1024 * 1024);
    let timing = watch.timing(Phase::Body, limits());
    let mut io = Timed::new(io, Arc::clone(&timing));
    let mut buffer = vec![0; 1024 * 1024];
    for (ask, may_fail) in [(false, false), (true, true), (false, false)] {
        match ask {
            true => timing.ask(),
            false => timing.answered(),
        }
        let mut failed = false;
        for _ in 0..3 {
            peer.write_all(&buffer.clone()).await.unwrap();
            failed |= io.read_exact(&mut buffer).await.is_err();
        }
        assert_eq!(failed, may_fail);
    }
}

#[test]
fn connections_that_are_gone_are_forgotten() {
    let watch = Watch::default();
    drop(watch.timing(Phase::Idle, limits()));
    watch.tick();
    assert_eq!(watch.drain(), 0);
    assert!(watch.connections.borrow().is_empty());
}

/// Whether a connection has ended, is asked to end, or neither.
fn ending(timing: &Timing) -> (bool, bool) {
    (timing.has_expired(), timing.drain.load(RELAXED))
}

#[test]
fn only_who_waits_for_a_request_makes_room() {
    const STAYS: (bool, bool) = (false, false);
    const ENDS: (bool, bool) = (true, false);
    const IS_ASKED: (bool, bool) = (false, true);
    let cases = [
        ("nothing has come", Phase::Opened, false, ENDS),
        ("it has a session, but no stream", Phase::Opened, true, IS_ASKED),
        ("between requests", Phase::Idle, false, IS_ASKED),
        ("between streams", Phase::Idle, true, IS_ASKED),
        ("a head is on its way", Phase::Head, false, STAYS),
        ("a body is on its way", Phase::Body, false, STAYS),
        ("it is served", Phase::Quiet, true, STAYS),
    ];
    for (name, phase, http2, expected) in cases {
        let watch = Watch::default();
        let timing = watch.timing(phase, limits());
        if http2 {
            timing.speaks_http2();
        }
        assert_eq!(watch.shed(8, 8), usize::from(expected != STAYS), "{name}");
        assert_eq!(ending(&timing), expected, "{name}");
    }
    // What is still to be written is not cut off.
    let watch = Watch::default();
    let (writes, held) = (watch.timing(Phase::Idle, limits()), watch.timing(Phase::Idle, limits()));
    writes.writing.store(true, RELAXED);
    held.hold(true);
    assert_eq!(watch.shed(8, 8), 0);
    // A request that begins and ends is waited for.
    let timing = watch.timing(Phase::Idle, limits());
    timing.begin();
    assert_eq!(watch.shed(8, 8), 0);
    timing.end();
    assert_eq!(watch.shed(8, 8), 1);
}

#[test]
fn the_longest_idle_makes_room_first() {
    let watch = Watch::default();
    let all: Vec<_> = (0..6)
        .map(|_| {
            watch.tick();
            watch.timing(Phase::Idle, limits())
        })
        .collect();
    // The first one is used again, in the same tick in which the last one came.
    all[0].begin();
    all[0].end();
    assert_eq!(watch.shed(8, 2), 2);
    assert_eq!(watch.shed(8, 1), 1);
    let asked: Vec<_> = all.iter().map(|timing| ending(timing).1).collect();
    assert_eq!(asked, [false, true, true, true, false, false]);
    assert_eq!(watch.shed(3, 8), 0, "three are ending already");
    assert_eq!(watch.shed(8, 8), 3, "nobody is asked twice");
}

#[test]
fn who_was_asked_and_stays_is_ended() {
    let watch = Watch::default();
    let (stays, asks) = (watch.timing(Phase::Idle, limits()), watch.timing(Phase::Idle, limits()));
    assert_eq!(watch.shed(8, 8), 2);
    asks.begin();
    (0..ENDING).for_each(|_| watch.tick());
    assert_eq!(watch.shed(8, 8), 0);
    watch.tick();
    assert_eq!(watch.shed(8, 8), 1);
    assert!(stays.has_expired());
    assert!(!asks.has_expired(), "a request is under way");
}

/// What comes between the streams of HTTP/2 is no head, so nothing waits for its end.
#[tokio::test]
async fn bytes_between_streams_begin_no_head() {
    for (http2, expected) in [(true, Phase::Idle), (false, Phase::Head)] {
        let watch = Watch::default();
        let (mut peer, io) = duplex(64);
        let timing = watch.timing(Phase::Idle, limits());
        if http2 {
            timing.speaks_http2();
        }
        let mut io = Timed::new(io, Arc::clone(&timing));
        peer.write_all(b"x").await.unwrap();
        io.read_u8().await.unwrap();
        assert!(timing.is_in(expected), "{http2}");
    }
}

/// The limit for the first head counts from the beginning, not from its first byte.
#[tokio::test]
async fn a_first_head_has_its_time_from_the_beginning() {
    let watch = Watch::default();
    let (mut peer, io) = duplex(64);
    let timing = watch.timing(Phase::Opened, limits());
    let mut io = Timed::new(io, Arc::clone(&timing));
    pass(&watch, 2);
    peer.write_all(b"x").await.unwrap();
    io.read_u8().await.unwrap();
    assert!(timing.is_in(Phase::Head) && !timing.has_expired());
    pass(&watch, 1);
    assert!(timing.has_expired());
}

/// An upstream may answer before it has all of the request, whose rest is read after the request has ended.
#[test]
fn a_body_that_is_read_after_its_request_keeps_no_connection() {
    let watch = Watch::default();
    let timing = watch.timing(Phase::Idle, limits());
    timing.begin();
    timing.go_on(Phase::Body);
    assert!(timing.is_in(Phase::Body));
    timing.end();
    for phase in [Phase::Body, Phase::Quiet] {
        timing.go_on(phase);
        assert!(timing.is_in(Phase::Idle), "{phase:?}");
    }
    pass(&watch, 4);
    assert!(timing.has_expired());
}

/// What a drain tells a connection at once, and what only after a while: a request may be on its way.
#[tokio::test]
async fn a_drain_waits_a_little_for_a_request_that_may_be_on_its_way() {
    const LATER: [bool; 2] = [false, true];
    const AT_ONCE: [bool; 2] = [true, true];
    // Phase, whether it speaks HTTP/2, whether it is told at once and after the grace, whether it is ended then.
    for (phase, http2, told, ended) in [
        (Phase::Opened, false, LATER, true),
        (Phase::Opened, true, LATER, false),
        (Phase::Idle, false, LATER, false),
        (Phase::Idle, true, AT_ONCE, false),
        (Phase::Head, false, AT_ONCE, false),
        (Phase::Quiet, false, AT_ONCE, false),
        (Phase::Body, true, AT_ONCE, false),
    ] {
        // It may have come before or after the drain began.
        for late in [false, true] {
            let watch = Watch::default();
            let begin = |watch: &Watch| {
                let timing = watch.timing(phase, Limits::default());
                if http2 {
                    timing.speaks_http2();
                }
                timing
            };
            let timing = if late {
                watch.drain();
                begin(&watch)
            } else {
                begin(&watch)
            };
            watch.drain();
            let is_told = || std::future::poll_fn(|cx| Poll::Ready(timing.is_draining(cx)));
            let first = is_told().await;
            assert!(!timing.has_expired(), "{phase:?}");
            (0..GRACE).for_each(|_| {
                watch.tick();
                watch.drain();
            });
            let case = format!("{phase:?}, HTTP/2: {http2}, late: {late}");
            assert_eq!(([first, is_told().await], timing.has_expired()), (told, ended), "{case}");
        }
    }
    // A request that comes meanwhile is the last one.
    let watch = Watch::default();
    let timing = watch.timing(Phase::Idle, Limits::default());
    watch.drain();
    timing.begin();
    assert!(std::future::poll_fn(|cx| Poll::Ready(timing.is_draining(cx))).await);
    // Who makes room for another is told at once.
    let watch = Watch::default();
    let timing = watch.timing(Phase::Idle, Limits::default());
    watch.drain();
    assert_eq!(watch.shed(1, 1), 1);
    assert!(std::future::poll_fn(|cx| Poll::Ready(timing.is_draining(cx))).await);
}
