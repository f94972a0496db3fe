//! That a refusal and a transaction that is cut off change nothing, seen by an effect of a few lines.

use super::*;

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
        tokio::task::yield_now().await;
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

#[tokio::test]
async fn who_goes_away_before_the_commit_leaves_no_trace() {
    let apply = Apply::new(Names::default());
    let (one, hash_of_one) = checked("one");
    apply.apply(one, hash_of_one.clone()).await.unwrap();
    let (two, hash_of_two) = checked("two");
    {
        let going = apply.apply(two.clone(), hash_of_two.clone());
        let mut going = std::pin::pin!(going);
        // Polled once, up to where it waits.
        assert!(futures_util::poll!(&mut going).is_pending());
    }
    assert_eq!(*apply.effect().0.lock().unwrap(), ["one"]);
    let state = apply.state();
    assert_eq!((state.current.unwrap().hash, state.refused.is_none()), (hash_of_one, true));
    apply.apply(two, hash_of_two).await.unwrap();
    assert_eq!(*apply.effect().0.lock().unwrap(), ["two"], "nobody holds the turn");
}
