//! Fresh credentials for a plugin whose peer refused the ones that it has.
//!
//! Owns: that a plugin need not know whether a credential of its configuration is a reference. Must not know: vaults. It
//! fetches at most once a second for all that ask ([`Engine::retry_on_auth_failure`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postern_secrets::rotate::{Attempt, Engine};
use postern_secrets::slot::Slot;

/// The references of one plugin; none, where its configuration has none.
#[derive(Clone, Debug, Default)]
pub struct Renewal(Option<(Engine, Arc<Slot>)>);

impl Renewal {
    /// Of a plugin whose texts are kept in this slot.
    pub fn of(engine: Engine, slot: Arc<Slot>) -> Self {
        Self(Some((engine, slot)))
    }

    /// Has the references fetched afresh. `true` says that a value is another one than when it was asked: the plugin has
    /// been made anew by then, and what its constructor put into its state is there.
    pub async fn renew(&self) -> bool {
        let Some((engine, slot)) = &self.0 else { return false };
        let asked = AtomicBool::new(false);
        let outcome = engine.retry_on_auth_failure(std::slice::from_ref(slot), || {
            let again = asked.swap(true, Ordering::Relaxed);
            async move { if again { Attempt::Done(()) } else { Attempt::Refused(()) } }
        });
        outcome.await.is_ok()
    }
}
