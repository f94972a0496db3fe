//! What plugins keep across changes of the configuration and of secrets: counters, caches, queues.
//!
//! Owns: that the same plugin entity finds its own again. Must not know: what is kept.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use uuid::Uuid;

/// Things by the plugin they belong to and their type. Kept for as long as a plugin holds them.
#[derive(Debug, Default)]
pub struct State(Mutex<HashMap<(Uuid, TypeId), Weak<dyn Any + Send + Sync>>>);

impl State {
    /// The thing of this type that the plugin has, or a new one.
    pub fn of<T: Send + Sync + 'static>(&self, plugin: Uuid, make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin, TypeId::of::<T>());
        if let Some(known) = kept.get(&key).and_then(Weak::upgrade).and_then(|known| known.downcast().ok()) {
            return known;
        }
        kept.retain(|_, thing| thing.strong_count() > 0);
        let new = Arc::new(make());
        let thing: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&new);
        kept.insert(key, Arc::downgrade(&thing));
        new
    }
}
