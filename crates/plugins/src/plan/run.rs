//! A request on its way through a plan.
//!
//! Owns: the order of the phases' calls, and that the instances which were chosen in the phase `access` are those of
//! the later phases too. Must not know: how bodies are read, how answers are sent.
//!
//! The instance of a plugin is chosen when its turn comes: an authentication plugin that ran before may have told who
//! the consumer is. Once the gateway answers itself, the remaining plugins are chosen, but not called in `access`:
//! they see the response and the log, as in Kong.

use std::sync::Arc;

use smallvec::SmallVec;
use uuid::Uuid;

use super::{Instance, Made, Plan, scope};
use crate::plugin::{Answer, BodyFilter, Outcome, Step};
use crate::view::{Request, Response, Summary};

/// What the plugins of a phase say together.
#[derive(Debug)]
pub enum Verdict {
    /// The request goes on.
    Continue,
    /// The gateway answers.
    Answer(Box<Answer>),
    /// A plugin that must run cannot: a reference in its configuration has no usable value. The gateway answers 503:
    /// what guards a route must not fall away with its secret.
    Unavailable {
        /// Its name.
        plugin: &'static str,
        /// The entity.
        instance: Uuid,
    },
}

/// The plugins of a request, as they are chosen. Belongs to the request; up to eight take no memory of their own.
#[derive(Debug, Default)]
pub struct Running {
    pub(super) chosen: SmallVec<[Chosen; 8]>,
}

#[derive(Debug)]
pub(super) struct Chosen {
    instance: Arc<Instance>,
    plugin: Loaded,
}

/// Kept for the length of a request, so that all its phases see the same configuration.
struct Loaded(Made);

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded")
    }
}

/// The phase `rewrite`, before a route is known; give it [`super::Plans::unrouted`].
pub async fn run_rewrite(unrouted: &Plan, request: &mut Request) -> Verdict {
    for entry in &unrouted.entries {
        let Some(instance) = scope::choose(&entry.layers, None).filter(|instance| instance.phases.rewrite)
        else {
            continue;
        };
        let Some(plugin) = instance.load() else { return unavailable(instance) };
        match settle(plugin.rewrite(request)).await {
            Outcome::Continue => {}
            Outcome::Answer(answer) => return Verdict::Answer(answer),
        }
    }
    Verdict::Continue
}

impl Running {
    /// Of a request without a route, or one that the gateway answers before `access`: no plugin is called, but the
    /// response and the log are for those that run everywhere. Give it [`super::Plans::unrouted`].
    pub fn without_access(plan: &Plan, request: &mut Request) -> Self {
        let mut running = Self::default();
        for entry in &plan.entries {
            let chosen = scope::choose(&entry.layers, request.consumer.as_deref());
            let chosen = chosen.and_then(|instance| Some((instance, instance.load()?)));
            if let Some((instance, plugin)) = &chosen
                && instance.holds_references()
            {
                plugin.chosen(request);
            }
            running.keep(chosen);
        }
        running
    }

    /// The phase `access` of a request whose route matched. `read_body` is called before the first plugin that wants
    /// the body, and puts it into `request.body`; it is not called again, nor if the body is there already.
    ///
    /// # Errors
    /// What `read_body` says.
    pub async fn access<E>(
        &mut self,
        plan: &Plan,
        request: &mut Request,
        mut read_body: impl AsyncFnMut(&mut Request) -> Result<(), E>,
    ) -> Result<Verdict, E> {
        let mut verdict = Verdict::Continue;
        let (mut has_read, mut failure) = (false, None);
        for entry in &plan.entries {
            let Some(instance) = scope::choose(&entry.layers, request.consumer.as_deref()) else { continue };
            let Some(plugin) = instance.load() else {
                if matches!(verdict, Verdict::Continue) {
                    verdict = unavailable(instance);
                }
                continue;
            };
            if instance.phases.access && failure.is_none() && matches!(verdict, Verdict::Continue) {
                if !has_read && request.body.is_none() && plugin.wants_body(request) {
                    has_read = true;
                    failure = read_body(request).await.err();
                }
                if failure.is_none()
                    && let Outcome::Answer(answer) = settle(plugin.access(request)).await
                {
                    verdict = Verdict::Answer(answer);
                }
            } else if instance.holds_references() {
                plugin.chosen(request);
            }
            self.keep(Some((instance, plugin)));
        }
        failure.map_or(Ok(verdict), Err)
    }

    fn keep(&mut self, chosen: Option<(&Arc<Instance>, Made)>) {
        if let Some((instance, plugin)) = chosen
            && (instance.phases.response || instance.phases.body_filter || instance.phases.log)
        {
            self.chosen.push(Chosen { instance: Arc::clone(instance), plugin: Loaded(plugin) });
        }
    }

    /// The head of the response on its way to the client, whoever made it: the headers that plugins put aside in
    /// `access`, then the plugins of this phase.
    pub fn response(&self, request: &mut Request, response: &mut Response) {
        for (name, value) in request.response_headers.drain(..) {
            response.headers.insert(name, value);
        }
        for Chosen { instance, plugin } in &self.chosen {
            if instance.phases.response {
                plugin.0.response(request, response);
            }
        }
    }

    /// Those who change the body, in the order in which they do.
    pub fn body_filters(&self, request: &Request, response: &Response) -> SmallVec<[Box<dyn BodyFilter>; 2]> {
        let filters = self.chosen.iter().filter(|chosen| chosen.instance.phases.body_filter);
        filters.filter_map(|chosen| chosen.plugin.0.body_filter(request, response)).collect()
    }

    /// Whether somebody wants to know what came of it.
    pub fn logs(&self) -> bool {
        self.chosen.iter().any(|chosen| chosen.instance.phases.log)
    }

    /// After the last byte.
    pub fn log(&self, request: &Request, summary: &Summary<'_>) {
        for Chosen { instance, plugin } in &self.chosen {
            if instance.phases.log {
                plugin.0.log(request, summary);
            }
        }
    }
}

fn unavailable(instance: &Instance) -> Verdict {
    Verdict::Unavailable { plugin: instance.schema.name, instance: instance.id }
}

async fn settle(step: Step<'_>) -> Outcome {
    match step {
        Step::Continue => Outcome::Continue,
        Step::Answer(answer) => Outcome::Answer(answer),
        Step::Wait(wait) => wait.await,
    }
}
