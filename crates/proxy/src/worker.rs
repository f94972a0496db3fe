//! What belongs to one worker: its connections, its view of the configuration, its counters.
//!
//! Owns: that a request finds all of it without a lock, and without a cache line that other workers write.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;

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
    current: Arc<ArcSwap<Live>>,
    seen: RefCell<Arc<Live>>,
}

impl Worker {
    pub(crate) fn new(options: Arc<Options>, current: Arc<ArcSwap<Live>>, observe: Observe) -> Rc<Self> {
        let seen = RefCell::new(current.load_full());
        let pool = Pool::new(options.upstream.idle, options.upstream.idle_timeout);
        Rc::new(Self { options, pool, watch: Watch::default(), observe, current, seen })
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
