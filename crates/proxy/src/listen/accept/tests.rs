//! Places: who is asked to end, and who waits.

use std::sync::Arc;

use super::*;
use crate::timed::{Limits, Phase, Timing};

/// So many connections that wait for a request, each with a place, as long as nobody asks it to end.
async fn idle(places: &Rc<Places>, watch: &Watch, count: usize) -> Vec<(Arc<Timing>, Option<Place>)> {
    let mut all = Vec::new();
    for _ in 0..count {
        watch.tick();
        all.push((watch.timing(Phase::Idle, Limits::default()), Some(places.take(watch).await)));
    }
    all
}

/// Which of them were asked to end.
fn asked(all: &[(Arc<Timing>, Option<Place>)]) -> Vec<usize> {
    let cx = &std::task::Context::from_waker(std::task::Waker::noop());
    (0..all.len()).filter(|number| all[*number].0.is_draining(cx)).collect()
}

#[tokio::test(start_paused = true)]
async fn few_places_are_used_to_the_last() {
    let (places, watch) = (Places::new(4), Watch::default());
    let mut all = idle(&places, &watch, 4).await;
    assert_eq!(asked(&all), [0; 0]);
    let take = places.take(&watch);
    tokio::pin!(take);
    assert!(futures_util::poll!(&mut take).is_pending(), "all are taken");
    assert_eq!(asked(&all), [0], "the longest idle is asked");
    all[0].1 = None;
    take.await;
    assert_eq!(places.taken.get(), 3, "the place was given back");
}

#[tokio::test(start_paused = true)]
async fn of_many_places_some_are_kept_free() {
    let (places, watch) = (Places::new(64), Watch::default());
    let mut all = idle(&places, &watch, 61).await;
    assert_eq!(asked(&all), [0, 1, 2, 3], "a sixteenth");
    all.extend(idle(&places, &watch, 3).await);
    assert_eq!(asked(&all), [0, 1, 2, 3], "these are ending already");
    assert_eq!(places.taken.get(), 64, "nobody waits while there are places");
}

/// All are busy: the next one waits for whichever ends first, and nobody is asked to end.
#[tokio::test(start_paused = true)]
async fn who_is_busy_keeps_its_place() {
    let (places, watch) = (Places::new(4), Watch::default());
    let mut all = idle(&places, &watch, 4).await;
    all.iter().for_each(|(timing, _)| timing.begin());
    let take = places.take(&watch);
    tokio::pin!(take);
    assert!(futures_util::poll!(&mut take).is_pending());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(futures_util::poll!(&mut take).is_pending());
    assert_eq!(asked(&all), [0; 0]);
    all[2].1 = None;
    take.await;
}

/// Looking for who can make room costs as much as there are connections, so it is not done for each that comes.
#[tokio::test(start_paused = true)]
async fn what_is_sought_in_vain_is_not_sought_again_at_once() {
    let (places, watch) = (Places::new(64), Watch::default());
    let all = idle(&places, &watch, 60).await;
    all.iter().for_each(|(timing, _)| timing.begin());
    let _place = places.take(&watch).await;
    all[0].0.end();
    let _place = places.take(&watch).await;
    assert_eq!(asked(&all), [0; 0]);
    watch.tick();
    let _place = places.take(&watch).await;
    assert_eq!(asked(&all), [0]);
}
