//! Batches, retries, bounds, and a change of terms on the way. Time is tokio's and stands still until all wait.

use super::*;
use crate::node::Node;
use crate::state::State;

/// Notes what came, and fails as often as it is told to.
#[derive(Clone, Default)]
struct Receiver {
    batches: Arc<Mutex<Vec<Vec<u32>>>>,
    failures: Arc<AtomicU64>,
    /// Held by whoever wants deliveries to stop.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Entries of each batch that it says are lost.
    lost: usize,
}

impl Receiver {
    fn failing(times: u64) -> Self {
        Self { failures: Arc::new(AtomicU64::new(times)), ..Self::default() }
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.batches.lock().unwrap().clone()
    }
}

impl Deliver<u32> for Receiver {
    fn deliver<'a>(&'a self, batch: &'a [u32]) -> Delivery<'a> {
        Box::pin(async move {
            let _open = self.gate.lock().await;
            let fails = |left: u64| left.checked_sub(1);
            if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
                return Err("it is away".to_owned());
            }
            self.batches.lock().unwrap().push(batch.to_vec());
            Ok(self.lost)
        })
    }
}

#[derive(Default)]
struct Stage {
    state: Arc<State>,
    node: Arc<Node>,
}

impl Stage {
    fn sender(&self, config: Config, to: &Receiver) -> Sender<u32> {
        crate::testing::on(&self.state, &self.node, |living| {
            Sender::new("http-log", living, config, to.clone())
        })
    }

    /// Delivered, dropped, waiting.
    fn counts(&self) -> (u64, u64, u64) {
        self.node.queues.counts()[0].read()
    }
}

fn at_once(size: usize) -> Config {
    Config { max_coalescing_delay: 0.0, ..Config::plain(size) }
}

fn batches_of(size: usize) -> Config {
    Config { max_coalescing_delay: 1.0, ..Config::plain(size) }
}

#[tokio::test(start_paused = true)]
async fn entries_go_together_when_there_are_enough_or_they_have_waited_enough() {
    let (stage, to) = (Stage::default(), Receiver::default());
    let sender = stage.sender(batches_of(3), &to);
    (0..4).for_each(|entry| sender.push(entry, 1));
    sleep(Duration::from_millis(900)).await;
    assert_eq!(to.batches(), [vec![0, 1, 2]]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(to.batches(), [vec![0, 1, 2], vec![3]]);
    assert_eq!(stage.counts(), (4, 0, 0));
    // The task has ended; another one takes over.
    sender.push(9, 1);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(to.batches().last(), Some(&vec![9]));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_in_order() {
    let (stage, to) = (Stage::default(), Receiver::failing(3));
    let sender = stage.sender(Config::plain(1), &to);
    sender.push(1, 1);
    sender.push(2, 1);
    let began = Instant::now();
    sleep(Duration::from_millis(69)).await;
    assert_eq!(to.batches(), Vec::<Vec<u32>>::new());
    // 10 + 20 + 40 milliseconds.
    sleep(Duration::from_millis(5)).await;
    assert_eq!(to.batches(), [vec![1], vec![2]], "{:?}", began.elapsed());
    assert_eq!(stage.counts(), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_on_the_way_is_counted() {
    let (stage, to) = (Stage::default(), Receiver { lost: 1, ..Receiver::default() });
    let sender = stage.sender(batches_of(3), &to);
    (0..3).for_each(|entry| sender.push(entry, 1));
    sleep(Duration::from_millis(10)).await;
    assert_eq!((to.batches().len(), stage.counts()), (1, (2, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_in_the_end() {
    let (stage, to) = (Stage::default(), Receiver::failing(u64::MAX));
    let sender = stage.sender(Config { max_retry_time: 5.0, max_retry_delay: 1.0, ..Config::plain(1) }, &to);
    sender.push(1, 1);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(stage.counts(), (0, 0, 1));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.counts(), (0, 1, 0));

    let sender = stage.sender(Config { retries: Some(2), ..Config::plain(1) }, &to);
    sender.push(2, 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(stage.counts(), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_keep_up_loses_the_oldest() {
    let (stage, to) = (Stage::default(), Receiver::default());
    let closed = to.gate.clone().lock_owned().await;
    let sender = stage.sender(Config { max_entries: 3, max_bytes: Some(25), ..at_once(10) }, &to);
    sender.push(0, 1);
    sleep(Duration::from_millis(1)).await;
    // 0 is on its way; of the others three may wait, and 25 bytes.
    (1..6).for_each(|entry| sender.push(entry, 1));
    assert_eq!(stage.counts(), (0, 2, 4));
    sender.push(6, 20);
    assert_eq!(stage.counts(), (0, 3, 4));
    sender.push(7, 20);
    drop(closed);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(to.batches(), [vec![0], vec![7]]);
    assert_eq!(stage.counts(), (2, 6, 0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_out_on_the_new_terms() {
    let (stage, old, new) = (Stage::default(), Receiver::failing(u64::MAX), Receiver::default());
    let sender = stage.sender(Config::plain(1), &old);
    sender.push(1, 1);
    sleep(Duration::from_millis(15)).await;
    let again = stage.sender(Config::plain(1), &new);
    drop(sender);
    sleep(Duration::from_millis(100)).await;
    assert_eq!((old.batches().len(), new.batches()), (0, vec![vec![1]]));
    again.push(2, 1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(new.batches().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_batches_at_once_where_that_is_wanted() {
    let (stage, to) = (Stage::default(), Receiver::failing(1));
    let sender = stage.sender(Config { concurrency_limit: -1, ..Config::plain(1) }, &to);
    sender.push(1, 1);
    sender.push(2, 1);
    sleep(Duration::from_millis(100)).await;
    // The second did not wait for the first, which failed once.
    assert_eq!(to.batches(), [vec![2], vec![1]]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_waits_for_nobody_else() {
    let (stage, to) = (Stage::default(), Receiver::default());
    let sender = stage.sender(Config { max_coalescing_delay: 3600.0, ..Config::plain(100) }, &to);
    sender.push(1, 1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.node.queues.flush(Duration::from_secs(1)).await, 0);
    assert_eq!(to.batches(), [vec![1]]);

    let stage = Stage::default();
    let sender = stage.sender(Config::plain(1), &Receiver::failing(u64::MAX));
    sender.push(1, 1);
    assert_eq!(stage.node.queues.flush(Duration::from_secs(1)).await, 1);
}
