//! The reconciler's task: look, fetch, apply, sleep. Owns: what runs beside it: fetches, renewals, writes. Must not know:
//! what is due, or what an outcome means; [`super::state`] says both.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::state::{GroupId, Job};
use super::{Shared, save};
use crate::backend::fs::watch::Watch;
use crate::resolve::{Fetched, ResolveError, Resolver};
use crate::trail::Trail;
use crate::vault::VaultError;

/// One finished fetch.
struct Done {
    job: Job,
    started: Instant,
    outcome: Result<Fetched, ResolveError>,
}

/// The fetches under way.
#[derive(Default)]
struct Fetches {
    tasks: JoinSet<Done>,
    /// Whose they are, for those that do not end as they should.
    jobs: HashMap<Id, (Job, Instant)>,
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
        let (jobs, gone, resolver, mut wake, save_due) = {
            let mut state = shared.state();
            state.sweep(&dropped, now);
            let jobs = state.due(now);
            (jobs, state.take_gone(), state.resolver(), state.next_wake(), state.save_due())
        };
        for job in jobs {
            fetches.begin(job, &resolver, watch.clone());
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
            Some(ids) = changes.recv() => shared.state().nudge_groups(&ids, Instant::now()),
            () = shared.look.notified() => {}
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
        while let Some(done) = fetches.tasks.try_join_next_with_id() {
            fetches.end(&shared, done);
        }
    }
}

impl Fetches {
    fn begin(&mut self, job: Job, resolver: &Arc<Resolver>, watch: Option<Arc<Watch>>) {
        let (resolver, started, known) = (Arc::clone(resolver), Instant::now(), job.clone());
        let task = self.tasks.spawn(async move {
            // Watched first, then read: a change in between is seen.
            if let Some(watch) = watch
                && let Some(files) = resolver.files(&job.reference).await
            {
                watch.add(job.group, files).await;
            }
            let outcome = resolver.fetch(&job.reference, &Trail::off()).await;
            Done { job, started, outcome }
        });
        self.jobs.insert(task.id(), (known, started));
    }

    fn end(&mut self, shared: &Shared, ended: Result<(Id, Done), JoinError>) {
        let done = match ended {
            Ok((id, done)) => {
                self.jobs.remove(&id);
                done
            }
            // A bug of ours, and no reason never to try again.
            Err(error) => {
                let Some((job, started)) = self.jobs.remove(&error.id()) else { return };
                tracing::error!(%error, reference = %job.reference, "a fetch broke off");
                let message = "the attempt broke off, which is a bug in this program".to_owned();
                let outcome = Err(ResolveError::Vault(VaultError::Garbled { message, hint: None }));
                Done { job, started, outcome }
            }
        };
        shared.state().apply(&done.job, done.started, Instant::now(), done.outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::*;
    use crate::backend::env::Env;
    use crate::client::Trust;
    use crate::resolve::Origin;
    use crate::rotate::state::State;
    use crate::{Kind, Settings, Template};

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_panics_has_failed_and_is_tried_again() {
        let resolver = Resolver::new(Env::default(), Trust::none()).with_vault(
            "env",
            Ok(Settings::empty(Kind::Env)),
            Origin::default(),
        );
        let state = Mutex::new(State::new(Arc::new(resolver)));
        let shared = Shared { state, dropped: Mutex::default(), look: Notify::new(), saving: None };
        let (slot, mut waits, job) = {
            let mut state = shared.state();
            let slot = state.slot(&Template::parse("{vault://env/a}").unwrap(), Instant::now(), |_| {});
            let job = state.due(Instant::now()).remove(0);
            (Arc::clone(&slot), state.wait_for_first(&[slot]), job)
        };
        let mut fetches = Fetches::default();
        let task = fetches.tasks.spawn(async { panic!("a bug") });
        fetches.jobs.insert(task.id(), (job, Instant::now()));
        let ended = fetches.tasks.join_next_with_id().await.unwrap();
        fetches.end(&shared, ended);
        assert_eq!(waits[0].try_recv(), Ok(()), "whoever waits is told");
        let status = shared.state().references(Instant::now()).0.remove(0);
        assert!(status.last_error.unwrap().message.contains("a bug in this program"));
        assert!(status.next_refresh.is_some() && slot.load().is_none());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert_eq!(shared.state().due(Instant::now()).len(), 1);
        assert!(fetches.jobs.is_empty());
    }
}
