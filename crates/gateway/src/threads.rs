//! The threads of a node beside those that serve requests.
//!
//! Owns: which work runs on which thread, so that none delays another: one thread compiles configurations, one does the input and output of
//! plugins, secrets, names and databases, and the main one has the Admin API, the status pages and signals. Must not know: what
//! is done on them.

use std::thread;

use anyhow::Result;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// A thread with a runtime of its own. It ends when this is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct IoThread {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl IoThread {
    /// For what must never wait for a computation.
    pub(crate) fn start() -> Result<Self> {
        let runtime = runtime()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("postern-io".to_owned()).spawn(move || {
            // An error says that the other end is gone, which is the word to end.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: end })
    }

    /// Where to spawn.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Runs something to its end on a thread for computations. It ends with the process, whatever it is doing then.
pub(crate) fn compute<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) -> Result<()> {
    let runtime = runtime()?;
    thread::Builder::new().name("postern-compile".to_owned()).spawn(move || runtime.block_on(work()))?;
    Ok(())
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
