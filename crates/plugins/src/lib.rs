//! What runs when a route matched: plugins, who of them runs for whom and in which order.
//!
//! Owns: the phases, the order, what a plugin may read and change. Must not know: sockets of clients and upstreams, routes' matching, vaults.
//! The modules, in the order in which a request meets them:
//!
//! 1. [`registry`]: the one list of plugins: name → field list, phases, constructor. [`examples`]: one of each.
//! 2. [`plan`]: who runs for (route, service, consumer, group), sorted; made when a configuration takes effect.
//! 3. [`view`]: what a plugin reads and changes: [`view::Request`], [`view::Response`].
//! 4. [`plugin`]: the trait: one method a phase, with defaults. [`prepared`]: made first, in effect later.
//! 5. `bundled/`: the plugins, a file each: field list, code and tests together.
//! 6. [`directory`]: consumers and their credentials, indexed for those plugins that ask who somebody is; `identity`
//!    tells the upstream.
//! 7. [`state`]: what a plugin keeps across changes of the configuration: counters, caches.
//!    [`node`]: the settings of the node that concern plugins. [`renewal`]: fresh credentials for who was refused.
//! 8. [`logging`]: the log object, and the queue in which logs wait to be delivered. [`metrics`]: counts of requests;
//!    [`mix`] is their hash. `redis`: what several nodes share.

mod bundled;
pub mod directory;
pub mod examples;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod keyed;
pub mod logging;
pub mod metrics;
pub mod mix;
pub mod node;
pub mod plan;
pub mod plugin;
pub mod prepared;
mod redis;
pub mod registry;
pub mod renewal;
pub mod state;
#[cfg(test)]
mod testing;
pub mod view;
