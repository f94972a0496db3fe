//! What belongs to one worker: its connections, its view of the configuration, its counters.
//!
//! Owns: that a request finds all of it without a lock, and without a cache line that other workers write.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use uuid::Uuid;

use crate::body::Unread;
use crate::live::Live;
use crate::observe::Observe;
use crate::options::Options;
use crate::pool::Pool;
use crate::timed::Watch;

/// One worker.
pub(crate) struct Worker {
    pub(crate) options: Arc<Options>,
    pub(crate) pool: Pool,
    pub(crate) watch: Watch,
    pub(crate) observe: Observe,
    /// Request bodies that nobody reads any more.
    pub(crate) unread: Rc<Unread>,
    /// When was last told of what fails closed, by entity.
    told: RefCell<HashMap<Uuid, Instant>>,
    current: Arc<ArcSwap<Live>>,
    seen: RefCell<Arc<Live>>,
}

impl Worker {
    pub(crate) fn new(options: Arc<Options>, current: Arc<ArcSwap<Live>>, observe: Observe) -> Rc<Self> {
        let seen = RefCell::new(current.load_full());
        let pool = Pool::new(options.upstream.idle, options.upstream.idle_timeout);
        Rc::new(Self {
            options,
            pool,
            watch: Watch::default(),
            observe,
            unread: Rc::default(),
            told: RefCell::default(),
            current,
            seen,
        })
    }

    /// Whether it is time to tell again of what fails closed: once a second for each entity, however many requests it
    /// costs.
    pub(crate) fn tells(&self, entity: Uuid) -> bool {
        let mut told = self.told.borrow_mut();
        let now = Instant::now();
        match told.get(&entity) {
            Some(last) if now.duration_since(*last).as_secs() < 1 => false,
            _ => {
                told.insert(entity, now);
                true
            }
        }
    }

    /// The configuration now.
    pub(crate) fn live(&self) -> Arc<Live> {
        let current = self.current.load();
        let mut seen = self.seen.borrow_mut();
        if !Arc::ptr_eq(&seen, &current) {
            *seen = Arc::clone(&current);
        }
        Arc::clone(&seen)
    }
}
