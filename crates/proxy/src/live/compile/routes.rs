//! Routes → the index that requests are matched by.
//!
//! Owns: that a route which does not compile is a problem of its own, and not matched. Must not know: how requests match.

use std::collections::HashMap;
use std::sync::Arc;

use postern_model::entity::{self, Protocol};
use postern_model::{Entry, Snapshot};
use postern_plugins::plan::Plan;
use postern_plugins::view::{Entity, RouteInfo};
use postern_router::Router;
use uuid::Uuid;

use super::work::Work;
use super::{Route, ServiceRef};

impl Work<'_> {
    pub(super) fn routes(
        &mut self,
        snapshot: &Snapshot,
        services: &HashMap<Uuid, Arc<ServiceRef>>,
    ) -> (Router, Vec<Route>) {
        let mut typed: Vec<(&Arc<Entry<entity::Route>>, entity::Route)> =
            snapshot.routes.iter().filter_map(|entry| Some((entry, self.now(entry)?))).collect();
        let flavour = self.maker.flavour;
        let index = |typed: &[(_, entity::Route)]| {
            Router::new(typed.iter().enumerate().map(|(number, (_, route))| (number, route)), flavour)
        };
        let router = index(&typed).or_else(|wrong| {
            wrong.iter().for_each(|(number, reason)| {
                self.problem("routes", typed[*number].0, reason.as_str());
            });
            let mut number = 0..;
            typed.retain(|_| {
                let number = number.next().unwrap_or_default();
                wrong.iter().all(|(bad, _)| *bad != number)
            });
            index(&typed)
        });
        // Each was compiled by itself before.
        let router = router.unwrap_or_else(|_| unreachable!("what compiles alone compiles with others"));
        (router, typed.into_iter().map(|(entry, route)| made(entry, route, services)).collect())
    }
}

fn made(
    entry: &Arc<Entry<entity::Route>>,
    route: entity::Route,
    services: &HashMap<Uuid, Arc<ServiceRef>>,
) -> Route {
    let name = route.name.as_ref().map(|name| name.as_str().to_owned());
    Route {
        info: Arc::new(RouteInfo { id: entry.id, name, entity: Entity::of(entry) }),
        // There are no plans before there are plugins.
        plan: Arc::<Plan>::default(),
        service: route.service.and_then(|service| services.get(&service.id).cloned()),
        strip_path: route.strip_path,
        path_handling: route.path_handling,
        preserve_host: route.preserve_host,
        https_redirect: route.https_redirect_status_code,
        request_buffering: route.request_buffering,
        grpc: route.protocols.iter().all(|protocol| matches!(protocol, Protocol::Grpc | Protocol::Grpcs)),
    }
}
