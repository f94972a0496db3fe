//! That a refusal and a transaction that is cut off change nothing, seen by an effect of a few lines.

use super::*;

/// How often an effect waits while it prepares.
const AWAITS: usize = 5;

/// Refuses services that are called `bad`, and leaves out those that are called `broken`.
#[derive(Default)]
struct Names(Mutex<Vec<String>>);

struct Made<'a>(&'a Names, Vec<String>);

impl Effect for Names {
    type Prepared<'a> = Made<'a>;

    async fn prepare(&self, snapshot: &Arc<Snapshot>) -> Result<Made<'_>, Vec<Violation>> {
        let names = snapshot.services.iter().filter_map(|service| service.record.text("name"));
        let names: Vec<_> = names.map(str::to_owned).collect();
        // What is cut off here has changed nothing either.
        for _ in 0..AWAITS {
            tokio::task::yield_now().await;
        }
        match names.iter().any(|name| name == "bad") {
            true => Err(vec![Violation::error("services[0]", None, "no")]),
            false => Ok(Made(self, names)),
        }
    }

    async fn changed(&self) {
        std::future::pending().await
    }
}

impl Prepared for Made<'_> {
    fn commit(self) -> Vec<Arc<Broken>> {
        let Self(names, new) = self;
        *names.0.lock().unwrap() = new;
        Vec::new()
    }
}

fn checked(name: &str) -> (Snapshot, String) {
    let text = format!("_format_version: \"3.0\"\nservices: [{{name: {name}, host: h}}]\n");
    let document = postern_model::read(text.as_bytes(), &|_| None).unwrap();
    (postern_model::check(document, &Vec::new()).unwrap().snapshot, hash(text.as_bytes()))
}

#[tokio::test]
async fn a_refusal_changes_nothing() {
    let apply = Apply::new(Names::default());
    let (one, hash_of_one) = checked("one");
    apply.apply(one, hash_of_one.clone()).await.unwrap();
    let (bad, hash_of_bad) = checked("bad");
    apply.apply(bad, hash_of_bad).await.unwrap_err();
    assert_eq!(*apply.effect().0.lock().unwrap(), ["one"]);
    let state = apply.state();
    assert_eq!(state.current.unwrap().hash, hash_of_one);
    assert_eq!(state.refused.unwrap().len(), 1);
    let (two, hash_of_two) = checked("two");
    apply.apply(two, hash_of_two).await.unwrap();
    assert_eq!(*apply.effect().0.lock().unwrap(), ["two"]);
    assert!(apply.state().refused.is_none());
    assert_eq!(apply.state().current.unwrap().number, 2);
}

/// Polls so many times, and drops what is not done by then. Whether it was done.
async fn cut_off(after: usize, future: impl Future) -> bool {
    let mut future = std::pin::pin!(future);
    for _ in 0..after {
        if futures_util::poll!(&mut future).is_ready() {
            return true;
        }
    }
    false
}

/// A transaction that is dropped at any of its awaits has changed nothing; one that is polled once more is in effect whole.
#[tokio::test]
async fn who_goes_away_before_the_commit_leaves_no_trace() {
    let (one, two, bad) = (checked("one"), checked("two"), checked("bad"));
    for again in [false, true] {
        let mut done = Vec::new();
        for after in 0..AWAITS + 3 {
            let apply = Apply::new(Names::default());
            apply.apply(one.0.clone(), one.1.clone()).await.unwrap();
            apply.apply(bad.0.clone(), bad.1.clone()).await.unwrap_err();
            if again {
                apply.effect().0.lock().unwrap().clear();
            }
            let is_done = match again {
                false => cut_off(after, apply.apply(two.0.clone(), two.1.clone())).await,
                true => cut_off(after, apply.again()).await,
            };
            let state = apply.state();
            let (current, names) = (state.current.unwrap(), apply.effect().0.lock().unwrap().clone());
            let seen = (names, current.hash, current.number, state.refused.is_some());
            let expected = match (again, is_done) {
                (false, false) => (vec!["one".to_owned()], one.1.clone(), 1, true),
                (false, true) => (vec!["two".to_owned()], two.1.clone(), 2, false),
                (true, false) => (Vec::new(), one.1.clone(), 1, true),
                (true, true) => (vec!["one".to_owned()], one.1.clone(), 1, true),
            };
            assert_eq!(seen, expected, "again: {again}, polled {after} times");
            done.push(is_done);
            // Nobody holds the turn.
            apply.apply(two.0.clone(), two.1.clone()).await.unwrap();
            assert_eq!(*apply.effect().0.lock().unwrap(), ["two"]);
        }
        assert!(!done[AWAITS] && done[AWAITS + 1], "each await is cut off once: {done:?}");
    }
}
