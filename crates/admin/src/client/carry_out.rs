//! A plan → requests.
//!
//! Owns: how a step becomes requests, how many go at a time, and that nothing new begins after a failure. Must not know: why
//! a step is done, how it is shown. What is under way when a step fails is finished, so that the outcome is known of each.

use std::cell::Cell;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::Method;
use serde_json::Value as Json;

use super::gateway::{Gateway, GatewayError};
use super::kinds::{self, Place};
use super::plan::{Action, Plan, Step};

/// What came of a step.
#[derive(Debug)]
pub enum Done {
    /// It is done.
    Yes,
    /// It failed.
    Failed(GatewayError),
    /// It was not begun, because another failed.
    Dropped,
}

/// What is told while a plan is carried out.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins.
    Begins(&'a Step),
    /// A step has come to an end.
    Ends(&'a Step),
}

/// How to go about it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests at a time.
    pub parallelism: usize,
    /// How long to wait after each stage, for databases that take their time.
    pub pause: Duration,
}

/// Carries a plan out, and says what came of each step, in the plan's order.
pub async fn carry_out<'a>(
    gateway: &Gateway,
    plan: &'a Plan,
    pace: Pace,
    tell: &dyn Fn(Event<'a>),
) -> Vec<(&'a Step, Done)> {
    let stopped = Cell::new(false);
    let mut outcome = Vec::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        if index > 0 && !stopped.get() && !pace.pause.is_zero() {
            tokio::time::sleep(pace.pause).await;
        }
        let steps = stage.iter().map(|step| {
            let stopped = &stopped;
            async move {
                if stopped.get() {
                    return (step, Done::Dropped);
                }
                tell(Event::Begins(step));
                let done = match perform(gateway, step).await {
                    Ok(()) => Done::Yes,
                    Err(error) => {
                        stopped.set(true);
                        Done::Failed(error)
                    }
                };
                tell(Event::Ends(step));
                (step, done)
            }
        });
        outcome.extend(stream::iter(steps).buffered(pace.parallelism.max(1)).collect::<Vec<_>>().await);
    }
    outcome
}

async fn perform(gateway: &Gateway, step: &Step) -> Result<(), GatewayError> {
    let body = Json::Object(step.body.clone());
    let write = async |method: Method, path: &[&str]| -> Result<(), GatewayError> {
        match gateway.write(method, path, &body, &step.secrets).await? {
            Json::Object(_) => Ok(()),
            _ => Err(GatewayError::Reply {
                path: path.join("/"),
                problem: "expected an object, got something else".to_owned(),
            }),
        }
    };
    let owner = step.owner.as_deref().unwrap_or_default();
    match (step.action, kinds::place(step.kind)) {
        (Action::Delete, Place::Member) => {
            let consumer = kinds::referred(&step.body, "consumer").unwrap_or_default();
            delete(gateway, &["consumer_groups", owner, "consumers", consumer]).await
        }
        (_, Place::Member) => write(Method::POST, &["consumer_groups", owner, "consumers"]).await,
        (Action::Delete, Place::Top(path)) => delete(gateway, &[path, &step.id]).await,
        (Action::Delete, Place::Under(above, _, path)) => {
            delete(gateway, &[above, owner, path, &step.id]).await
        }
        (Action::Create, Place::Under(above, _, path)) => {
            match write(Method::PUT, &[above, owner, path, &step.id]).await {
                // Not every gateway makes targets this way.
                Err(error) if error.status() == Some(404) && path == "targets" => {
                    write(Method::POST, &[above, owner, path]).await
                }
                outcome => outcome,
            }
        }
        (Action::Update, Place::Under(above, _, path)) => {
            write(Method::PUT, &[above, owner, path, &step.id]).await
        }
        (Action::Create, Place::Top(path)) => {
            if path == "certificates" {
                absent(gateway, &[path, &step.id]).await?;
            }
            write(Method::PUT, &[path, &step.id]).await
        }
        // What is in a group must not be lost.
        (Action::Update, Place::Top(path @ "consumer_groups")) => {
            write(Method::PATCH, &[path, &step.id]).await
        }
        (Action::Update, Place::Top(path)) => write(Method::PUT, &[path, &step.id]).await,
    }
}

/// What is gone already need not go.
async fn delete(gateway: &Gateway, path: &[&str]) -> Result<(), GatewayError> {
    match gateway.delete(path).await {
        Err(error) if error.status() == Some(404) => Ok(()),
        outcome => outcome,
    }
}

/// A certificate that another tag hides must not be overwritten.
async fn absent(gateway: &Gateway, path: &[&str]) -> Result<(), GatewayError> {
    match gateway.get(path).await {
        Err(error) if error.status() == Some(404) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(GatewayError::Connection("duplicate entity: there is one with this id".to_owned())),
    }
}
