//! The reconciler's task: look, fetch, apply, sleep. Owns: what runs beside it: fetches, renewals, writes. Must not know:
//! what is due, or what an outcome means; [`super::state`] says both.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::generations::{Generation, Turn};
use super::state::{GroupId, Job};
use super::{Shared, save};
use crate::backend::fs::watch::Watch;
use crate::resolve::{Fetched, ResolveError};
use crate::trail::Trail;
use crate::vault::VaultError;

/// What a fetch gave.
type Outcome = Result<Fetched, ResolveError>;

/// The fetches under way.
#[derive(Default)]
struct Fetches {
    tasks: JoinSet<Outcome>,
    /// Whose they are, also of those that do not end as they should.
    fetches: HashMap<Id, Fetch>,
}

/// One fetch under way.
struct Fetch {
    generation: Generation,
    job: Job,
    started: Instant,
    task: AbortHandle,
}

/// The task itself; it ends by being aborted, and with it all that runs beside it.
pub(super) async fn reconcile(
    shared: Arc<Shared>,
    watch: Option<Arc<Watch>>,
    mut changes: UnboundedReceiver<Vec<GroupId>>,
) {
    let mut fetches = Fetches::default();
    let (mut maintenance, mut saves) = (JoinSet::new(), JoinSet::new());
    loop {
        let now = Instant::now();
        let dropped = std::mem::take(&mut *shared.dropped());
        let (Turn { jobs, gone, given_up, mut wake }, resolver, save_due) = {
            let mut generations = shared.generations();
            let turn = generations.turn(&dropped, now);
            (turn, generations.in_effect.resolver(), generations.in_effect.save_due())
        };
        given_up.into_iter().for_each(|generation| fetches.give_up(generation));
        for (generation, job) in jobs {
            fetches.begin(generation, job, watch.clone());
        }
        if let Some(watch) = watch.as_ref().filter(|_| !gone.is_empty()) {
            watch.forget(gone);
        }
        let mut wake_at = |at: Instant| wake = Some(wake.map_or(at, |wake| wake.min(at)));
        match resolver.maintenance_due().filter(|_| maintenance.is_empty()) {
            Some(at) if at <= now => drop(maintenance.spawn(async move { resolver.maintain().await })),
            Some(at) => wake_at(at),
            None => {}
        }
        match save_due.filter(|_| saves.is_empty()) {
            Some(at) if at <= now => {
                let shared = Arc::clone(&shared);
                saves.spawn(async move { save::save(&shared).await });
            }
            Some(at) => wake_at(at),
            None => {}
        }
        tokio::select! {
            Some(done) = fetches.tasks.join_next_with_id() => fetches.end(&shared, done),
            Some(_) = maintenance.join_next() => {}
            Some(_) = saves.join_next() => {}
            Some(ids) = changes.recv() => shared.generations().nudge_groups(&ids, Instant::now()),
            () = shared.look.notified() => {}
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
        while let Some(done) = fetches.tasks.try_join_next_with_id() {
            fetches.end(&shared, done);
        }
    }
}

impl Fetches {
    fn begin(&mut self, generation: Generation, job: Job, watch: Option<Arc<Watch>>) {
        let Job { group, reference, resolver, .. } = job.clone();
        let task = self.tasks.spawn(async move {
            // Watched first, then read: a change in between is seen.
            if let Some(watch) = watch
                && let Some(files) = resolver.files(&reference).await
            {
                watch.add(group, files).await;
            }
            resolver.fetch(&reference, &Trail::off()).await
        });
        self.fetches.insert(task.id(), Fetch { generation, job, started: Instant::now(), task });
    }

    /// A candidate was dropped: what is fetched for it is not wanted any longer.
    fn give_up(&self, generation: Generation) {
        let of_it = self.fetches.values().filter(|fetch| fetch.generation == generation);
        of_it.for_each(|fetch| fetch.task.abort());
    }

    fn end(&mut self, shared: &Shared, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Ok(outcome)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(Fetch { generation, job, started, .. }) = self.fetches.remove(&id) else { return };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.is_cancelled() => return shared.generations().ended(&job),
            // A bug of ours, and no reason never to try again.
            Err(error) => {
                tracing::error!(%error, reference = %job.reference, "a fetch broke off");
                let message = "the attempt broke off, which is a bug in this program".to_owned();
                Err(ResolveError::Vault(VaultError::Garbled { message, hint: None }))
            }
        };
        shared.generations().apply(generation, &job, started, Instant::now(), &outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::*;
    use crate::backend::env::Env;
    use crate::resolve::{Origin, Resolver};
    use crate::rotate::generations::Generations;
    use crate::rotate::state::State;
    use crate::{Kind, Settings, Template};
    use postern_client::Trust;

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_panics_has_failed_and_is_tried_again() {
        let resolver = Resolver::new(Env::default(), Trust::none()).with_vault(
            "env",
            Ok(Settings::empty(Kind::Env)),
            Origin::default(),
        );
        let generations = Mutex::new(Generations::new(State::new(Arc::new(resolver))));
        let shared = Shared { generations, dropped: Mutex::default(), look: Notify::new(), saving: None };
        let (slot, mut waits, job) = {
            let state = &mut shared.generations().in_effect;
            let slot = state.slot(&Template::parse("{vault://env/a}").unwrap(), Instant::now(), |_| {});
            let job = state.due(Instant::now()).remove(0);
            (Arc::clone(&slot), state.wait_for_first(&[slot]), job)
        };
        let mut fetches = Fetches::default();
        let task = fetches.tasks.spawn(async { panic!("a bug") });
        let fetch = Fetch { generation: 0, job, started: Instant::now(), task };
        fetches.fetches.insert(fetch.task.id(), fetch);
        let ended = fetches.tasks.join_next_with_id().await.unwrap();
        fetches.end(&shared, ended);
        assert_eq!(waits[0].try_recv(), Ok(()), "whoever waits is told");
        let status = shared.generations().in_effect.references(Instant::now()).0.remove(0);
        assert!(status.last_error.unwrap().message.contains("a bug in this program"));
        assert!(status.next_refresh.is_some() && slot.load().is_none());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert_eq!(shared.generations().in_effect.due(Instant::now()).len(), 1);
        assert!(fetches.fetches.is_empty());
    }
}
