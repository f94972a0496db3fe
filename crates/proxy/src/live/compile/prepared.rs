//! A configuration that may take effect.
//!
//! Owns: the commit: what is in it, and its order. It cannot fail, and waits for nothing; dropping it instead leaves no trace.
//! Must not know: how it was made.

use std::sync::Arc;

use postern_model::snapshot::Broken;
use postern_plugins::plan::Plans;
use postern_secrets::rotate::Candidate;

use super::Compiler;
use super::work::{Done, PartsOfLive, Used};
use crate::live::Live;

/// A configuration that may take effect. It is made of what was in effect when it was made: one at a time.
#[must_use = "it has no effect before it is committed"]
pub struct Prepared<'a> {
    compiler: &'a Compiler,
    candidate: Candidate,
    made: Done,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(compiler: &'a Compiler, candidate: Candidate, made: Done) -> Self {
        Self { compiler, candidate, made }
    }

    /// Takes effect; `swap` has requests read what it is given from then on. Gives the entities that could not be made; what
    /// needs them is closed.
    pub fn commit(self, swap: impl FnOnce(Live)) -> Vec<Arc<Broken>> {
        let Self { compiler, candidate, made } = self;
        let Done { parts, bundles, held, upstreams, balancers, problems, notes } = made;
        let PartsOfLive { router, mut routes, plugins, closed, services, directory, known, certificates } =
            parts;
        drop(services);

        // Plugins with references are finished by this; their values are the candidate's own.
        candidate.finish();
        let finished = plugins.into_iter().filter_map(|plugin| plugin.commit(&compiler.living));
        let instances = finished.chain(closed).collect();
        balancers.iter().for_each(|used| used.balancer().start(&compiler.maker.control));
        {
            let mut kept = compiler.kept();
            kept.upstreams.clear();
            kept.singles.clear();
            for used in &balancers {
                match used {
                    Used::Upstream(id, balancer) => {
                        drop(kept.upstreams.insert(*id, Arc::downgrade(balancer)))
                    }
                    Used::Single(key, balancer) => {
                        drop(kept.singles.insert(key.clone(), Arc::downgrade(balancer)));
                    }
                }
            }
            kept.known.set(known);
        }

        let bound = |route: &crate::live::Route| {
            (route.info.id, route.service.as_ref().map(|service| service.info.id))
        };
        let plans = Plans::new(routes.iter().map(bound), instances);
        for route in &mut routes {
            route.plan = Arc::clone(plans.of(route.info.id));
        }
        notes.iter().for_each(super::work::Note::tell);
        let slots = bundles.into_iter().map(|(id, bundle)| (id, Arc::clone(bundle.slot()))).collect();
        let broken = problems.into_iter().map(|problem| Arc::new(problem.broken())).collect();
        swap(Live { router, routes, plans, directory, certificates, slots, upstreams, kept: held });
        // Last, for it takes the values of vaults away that are gone: nobody begins to read these any longer.
        candidate.commit();
        broken
    }
}
