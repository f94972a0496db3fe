//! Which connection serves, how long one is kept, how many there are; numbers of names.

use std::rc::Rc;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A connection that tells whether it was let go.
#[derive(Clone, Debug)]
struct Fake {
    name: u32,
    lives: Rc<Cell<bool>>,
}

impl Fake {
    fn new(name: u32) -> Self {
        Self { name, lives: Rc::new(Cell::new(true)) }
    }

    fn is_kept(&self) -> bool {
        Rc::strong_count(&self.lives) > 1
    }
}

impl Lives for Fake {
    fn lives(&self) -> bool {
        self.lives.get()
    }
}

fn pool(most: usize, bounds: Bounds) -> Pool<Fake, Fake> {
    Pool { bounds, ..Pool::new(most, 60 * SECOND) }
}

const WIDE: Bounds = Bounds { idle: 1000, peers: 1000, shared: 1000 };

fn key(port: u16, tls: u64, name: u64) -> Key {
    Key { address: SocketAddr::from(([127, 0, 0, 1], port)), tls, name }
}

#[tokio::test(start_paused = true)]
async fn all_that_a_connection_was_made_by_must_be_the_same() {
    let kept = key(1, 2, 3);
    for (asked, fits) in [
        (key(1, 2, 3), true),
        (key(2, 2, 3), false),
        (key(1, 3, 3), false),
        (key(1, 2, 4), false),
        (key(1, 0, 0), false),
        (key(1, 3, 2), false),
    ] {
        let pool = pool(10, WIDE);
        pool.put(kept, Fake::new(1));
        pool.share(kept, Fake::new(2));
        assert_eq!(pool.take(asked).map(|fake| fake.name), fits.then_some(1), "{asked:?}");
        assert_eq!(pool.shared(asked).map(|fake| fake.name), fits.then_some(2), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_one_that_was_used_last_serves_first() {
    let pool = pool(3, WIDE);
    let all: Vec<_> = (0..5).map(Fake::new).collect();
    all.iter().for_each(|fake| pool.put(key(1, 0, 0), fake.clone()));
    assert_eq!(pool.count.get(), 3, "no more than three of one peer");
    all[3].lives.set(false);
    let taken: Vec<_> = std::iter::from_fn(|| pool.take(key(1, 0, 0))).map(|fake| fake.name).collect();
    assert_eq!(taken, [4, 2]);
    assert_eq!(pool.count.get(), 0);
    pool.put(key(1, 0, 0), all[3].clone());
    assert_eq!(pool.count.get(), 0, "what has died is not kept");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_used_is_let_go() {
    let pool = pool(10, WIDE);
    let (old, new, shared, used) = (Fake::new(0), Fake::new(1), Fake::new(2), Fake::new(3));
    pool.put(key(1, 0, 0), old.clone());
    pool.share(key(1, 0, 0), shared.clone());
    pool.share(key(2, 0, 0), used.clone());
    for second in 0..60 {
        tokio::time::advance(SECOND).await;
        pool.tidy();
        pool.shared(key(2, 0, 0)).unwrap();
        if second == 0 {
            pool.put(key(1, 0, 0), new.clone());
        }
    }
    let kept = [&old, &new, &shared, &used].map(Fake::is_kept);
    assert_eq!(kept, [false, true, false, true]);
    assert_eq!(pool.count.get(), 1);
    used.lives.set(false);
    assert!(pool.shared(key(2, 0, 0)).is_none());
    pool.clear();
    assert!(!new.is_kept() && !used.is_kept());
    assert_eq!(pool.count.get(), 0);
}

/// A peer a connection, more of them than there may be: those that were used least lately make room.
#[tokio::test(start_paused = true)]
async fn all_of_it_is_bounded() {
    let bounds = Bounds { idle: 64, peers: 1000, shared: 64 };
    let pool = pool(10, bounds);
    let all: Vec<_> = (0..200).map(Fake::new).collect();
    for (fake, port) in all.iter().zip(1..) {
        tokio::time::advance(SECOND / 100).await;
        pool.tidy();
        match port % 2 {
            0 => pool.put(key(port, 0, 0), fake.clone()),
            _ => pool.share(key(port, 0, 0), fake.clone()),
        }
        assert!(pool.count.get() <= bounds.idle && pool.shared.borrow().len() <= bounds.shared);
        let counted: usize = pool.idle.borrow().values().map(VecDeque::len).sum();
        assert_eq!(counted, pool.count.get());
    }
    for (number, fake) in all.iter().enumerate() {
        // A part of them makes room at once, so that not all that would fit are there.
        match number {
            ..72 => assert!(!fake.is_kept(), "{number}"),
            90.. => assert!(fake.is_kept(), "{number}"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn peers_are_bounded() {
    let pool = pool(10, Bounds { peers: 4, ..WIDE });
    let all: Vec<_> = (0..8).map(Fake::new).collect();
    for (fake, port) in all.iter().zip(1..) {
        pool.put(key(port, 0, 0), fake.clone());
    }
    assert_eq!(pool.idle.borrow().len(), 4);
    assert_eq!(all.iter().filter(|fake| fake.is_kept()).count(), 4);
    // A peer whose connections are all in use needs no place.
    pool.take(key(8, 0, 0)).unwrap();
    pool.put(key(9, 0, 0), all[7].clone());
    assert!(all[7].is_kept());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_where_nothing_is_to_be() {
    let pool = pool(0, WIDE);
    pool.put(key(1, 0, 0), Fake::new(0));
    assert!(pool.take(key(1, 0, 0)).is_none());
    pool.make_room();
}

#[test]
fn a_name_has_one_number_wherever_it_stands() {
    let names = Names::default();
    let texts: Vec<Arc<str>> = ["a.example", "b.example", "a.example", "A.example"].map(Arc::from).into();
    let numbers: Vec<_> = texts.iter().map(|text| names.number(text)).collect();
    assert_eq!(numbers[0], numbers[2]);
    assert!(numbers[0] != numbers[1] && numbers[0] != numbers[3] && numbers[1] != numbers[3]);
    assert!(!numbers.contains(&0), "0 stands for no name");
    assert_eq!(texts.iter().map(|text| names.number(text)).collect::<Vec<_>>(), numbers);
}

/// Names come and go, and their memory is used again by others: a number never is.
#[test]
fn a_number_stands_for_one_name_for_ever() {
    let names = Names::default();
    let stays: Arc<str> = "stays.example".into();
    let number = names.number(&stays);
    let mut known = HashMap::new();
    for round in 0..1000 {
        let text = format!("{}.example", round % 300);
        let name: Arc<str> = text.as_str().into();
        let given = names.number(&name);
        let before = known.insert(given, text.clone());
        assert!(before.is_none_or(|before| before == text), "{text}");
        drop(name);
        if round % 7 == 0 {
            names.tidy();
        }
    }
    names.tidy();
    assert_eq!(names.number(&stays), number, "it is in use");
    assert_eq!(names.len(), 1);
}

/// A client chooses these, where its `Host` is sent on.
#[test]
fn names_of_hosts() {
    let names = Names::default();
    for (host, name) in [
        ("A.Example", "a.example"),
        ("a.example:8443", "a.example"),
        ("a.example.", "a.example"),
        ("10.0.0.1:443", "10.0.0.1"),
        ("[::1]:443", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
    ] {
        assert_eq!(&*names.of_host(host), name, "{host}");
        assert!(Arc::ptr_eq(&names.of_host(host), &names.of_host(host)), "made once");
    }
    let [plain, spelled] = ["a.example", "A.Example:443"].map(|host| names.number(&names.of_host(host)));
    assert_eq!(plain, spelled, "one name, one set of connections");
    for number in 0..20_000 {
        names.number(&names.of_host(&format!("{number}.example")));
        assert!(names.len() <= 4100, "{}", names.len());
    }
    names.tidy();
    names.tidy();
    assert_eq!(names.len(), 0, "what is not sent any more is forgotten");
}

/// Peers under names that clients choose do not keep others out.
#[tokio::test(start_paused = true)]
async fn many_names_make_room() {
    let pool = pool(4, Bounds { peers: 32, ..WIDE });
    for name in 1..=1000 {
        pool.put(key(1, 1, name), Fake::new(1));
        tokio::time::advance(SECOND / 1000).await;
        pool.now.set(Instant::now());
    }
    assert!(pool.take(key(1, 1, 1000)).is_some());
    assert!(pool.take(key(1, 1, 1)).is_none());
    assert!(pool.idle.borrow().len() <= 32);
}
