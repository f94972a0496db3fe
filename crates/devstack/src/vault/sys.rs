//! What lives under `sys/`: health and seal, mounts, policies, capabilities.
//!
//! Owns the mount table and the seal. Policies and tokens are asked, not kept.

mod access;
mod mounts;
mod seal;
mod wrapping;

pub(super) use mounts::{Backend, Mounts};
pub(super) use seal::{Seal, health};
pub(super) use wrapping::{Wrappings, wrap};

use super::call::Operation::{Delete, List, Read, Update};
use super::router::Guard::{AnyToken, Open, Policy, Sudo};
use super::router::{Handler::Now, Route};

pub(super) const ROUTES: &[Route] = &[
    Route {
        pattern: "mounts",
        operations: &[(Read, Now(mounts::list_secrets))],
        guard: Policy,
        exists: None,
        help: "List the mounted secrets engines.",
    },
    Route {
        pattern: "mounts/{path...}/tune",
        operations: &[(Read, Now(mounts::read_secrets_tuning)), (Update, Now(mounts::tune))],
        guard: Policy,
        exists: None,
        help: "Read a mount's lease times. The dev vault has one answer for all of them.",
    },
    Route {
        pattern: "mounts/{path...}",
        operations: &[
            (Read, Now(mounts::read_secrets)),
            (Update, Now(mounts::enable_secrets)),
            (Delete, Now(mounts::disable_secrets)),
        ],
        guard: Policy,
        exists: None,
        help: "Mount a secrets engine (type kv, options version 1 or 2), look at it, unmount it.",
    },
    Route {
        pattern: "auth",
        operations: &[(Read, Now(mounts::list_auth))],
        guard: Policy,
        exists: None,
        help: "List the enabled auth methods.",
    },
    Route {
        pattern: "auth/{path...}/tune",
        operations: &[(Read, Now(mounts::read_auth_tuning)), (Update, Now(mounts::tune))],
        guard: Sudo,
        exists: None,
        help: "Read an auth method's lease times. The dev vault has one answer for all of them.",
    },
    Route {
        pattern: "auth/{path...}",
        operations: &[
            (Read, Now(mounts::read_auth)),
            (Update, Now(mounts::enable_auth)),
            (Delete, Now(mounts::disable_auth)),
        ],
        guard: Sudo,
        exists: None,
        help: "Enable an auth method (type jwt or approle), look at it, disable it.",
    },
    Route {
        pattern: "internal/ui/mounts",
        operations: &[(Read, Now(mounts::visible))],
        guard: AnyToken,
        exists: None,
        help: "List the mounts that the token's policies reach.",
    },
    Route {
        pattern: "internal/ui/mounts/{path...}",
        operations: &[(Read, Now(mounts::preflight))],
        guard: AnyToken,
        exists: None,
        help: "Tell which mount a path belongs to, and its options.",
    },
    Route {
        pattern: "policy",
        operations: &[(Read, Now(access::list_old)), (List, Now(access::list_old))],
        guard: Policy,
        exists: None,
        help: "List the policies.",
    },
    Route {
        pattern: "policy/{name...}",
        operations: &[
            (Read, Now(access::read_old)),
            (Update, Now(access::write)),
            (Delete, Now(access::delete)),
        ],
        guard: Policy,
        exists: None,
        help: "Read, write or delete a policy.",
    },
    Route {
        pattern: "policies/acl",
        operations: &[(List, Now(access::list))],
        guard: Policy,
        exists: None,
        help: "List the policies.",
    },
    Route {
        pattern: "policies/acl/{name...}",
        operations: &[(Read, Now(access::read)), (Update, Now(access::write)), (Delete, Now(access::delete))],
        guard: Policy,
        exists: None,
        help: "Read, write or delete a policy.",
    },
    Route {
        pattern: "capabilities-self",
        operations: &[(Update, Now(access::own_capabilities))],
        guard: Policy,
        exists: None,
        help: "Tell what the calling token may do on some paths.",
    },
    Route {
        pattern: "capabilities",
        operations: &[(Update, Now(access::token_capabilities))],
        guard: Policy,
        exists: None,
        help: "Tell what a token may do on some paths.",
    },
    Route {
        pattern: "capabilities-accessor",
        operations: &[(Update, Now(access::accessor_capabilities))],
        guard: Policy,
        exists: None,
        help: "Tell what the token with this accessor may do on some paths.",
    },
    Route {
        pattern: "wrapping/wrap",
        operations: &[(Update, Now(wrapping::echo))],
        guard: Policy,
        exists: None,
        help: "Wrap what is sent.",
    },
    Route {
        pattern: "wrapping/lookup",
        operations: &[(Read, Now(wrapping::lookup)), (Update, Now(wrapping::lookup))],
        guard: Open,
        exists: None,
        help: "Tell whether a wrapping token can be used, and what made it.",
    },
    Route {
        pattern: "wrapping/unwrap",
        operations: &[(Read, Now(wrapping::unwrap)), (Update, Now(wrapping::unwrap))],
        guard: Open,
        exists: None,
        help: "Give what is wrapped, once.",
    },
];
