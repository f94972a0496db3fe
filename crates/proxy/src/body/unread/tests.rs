//! How much is read of what nobody wants.

use std::rc::Weak;
use std::task::{Context, Poll};

use http_body::Frame;
use tokio::task::{LocalSet, yield_now};

use super::*;

/// Pieces of 16 KiB: so many, then the end, or nothing more for ever.
#[derive(Debug)]
struct Fake {
    pieces: usize,
    ends: bool,
    fails: bool,
    given: Rc<Cell<usize>>,
    _alive: Rc<()>,
}

impl Body for Fake {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.pieces == 0 {
            return match (self.fails, self.ends) {
                (true, _) => Poll::Ready(Some(Err(std::io::Error::other("reset")))),
                (false, true) => Poll::Ready(None),
                (false, false) => Poll::Pending,
            };
        }
        self.pieces -= 1;
        self.given.set(self.given.get() + 1);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; PIECE])))))
    }
}

const PIECE: usize = 16 * 1024;
const MOST: usize = BYTES as usize / PIECE;

/// A body, how many of its pieces were read, and whether it still lives.
fn fake(pieces: usize, ends: bool, fails: bool) -> (Fake, Rc<Cell<usize>>, Weak<()>) {
    let (given, alive) = (Rc::default(), Rc::new(()));
    let weak = Rc::downgrade(&alive);
    (Fake { pieces, ends, fails, given: Rc::clone(&given), _alive: alive }, given, weak)
}

async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_of_what_nobody_wants() {
    let run = async {
        let unread = Rc::new(Unread::default());
        let task = tokio::task::spawn_local(Rc::clone(&unread).run());
        // Pieces, whether it ends or fails; how many are read, and whether it is let go at once or after a time.
        let cases = [
            ("short", 3, true, false, 3, true),
            ("empty", 0, true, false, 0, true),
            ("as long as it may be", MOST, true, false, MOST, true),
            ("too long", 2 * MOST, true, false, MOST + 1, true),
            ("broken off", 3, false, true, 3, true),
            ("never ends", 3, false, false, 3, false),
        ];
        for (name, pieces, ends, fails, read, at_once) in cases {
            let (body, given, alive) = fake(pieces, ends, fails);
            unread.put(body);
            settle().await;
            assert_eq!(given.get(), read, "{name}");
            assert_eq!(alive.strong_count() == 0, at_once, "{name}");
            tokio::time::sleep(TIME).await;
            settle().await;
            assert_eq!(alive.strong_count(), 0, "{name}");
        }
        // When the worker ends, nothing is held any longer, nor taken.
        let (body, _, alive) = fake(3, false, false);
        unread.put(body);
        settle().await;
        let (waiting, _, still) = fake(3, false, false);
        unread.put(waiting);
        task.abort();
        settle().await;
        let (late, _, too_late) = fake(3, false, false);
        unread.put(late);
        assert_eq!([alive, still, too_late].map(|body| body.strong_count()), [0; 3]);
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded() {
    let run = async {
        let unread = Rc::new(Unread::default());
        let _task = tokio::task::spawn_local(Rc::clone(&unread).run());
        let mut all = Vec::new();
        for round in 0..3 {
            for _ in 0..BODIES {
                let (body, _, alive) = fake(1, false, false);
                unread.put(body);
                all.push(alive);
            }
            settle().await;
            let living = all.iter().filter(|alive| alive.strong_count() > 0).count();
            assert_eq!(living, BODIES, "after round {round}");
        }
    };
    LocalSet::new().run_until(run).await;
}
