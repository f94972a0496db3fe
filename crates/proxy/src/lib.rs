//! The data plane: the only crate that serves and opens traffic connections.
//!
//! Owns: the life of a request, from a listener to an upstream and back. Must not know: where a configuration comes from,
//! what is in a secret. A request reads only [`live::Live`]; it never asks a store or a vault, and waits for neither.
//!
//! The modules, in the order in which a request meets them:
//!
//! 1. [`listen`]: workers, listeners, TLS (`tls`), which HTTP a connection speaks; `timed` ends what takes too long.
//! 2. `phases`: the life of a request, top to bottom; its state is `exchange`.
//! 3. `framing`: what may cross at all.
//! 4. [`live`]: the configuration that it is served by: routes, plans of plugins, services.
//! 5. [`balance`], [`health`], [`dns`]: which peer is asked.
//! 6. `upstream`, `pool`: a connection to it, kept or new. `tunnel`: WebSocket.
//! 7. `body`, `forwarded`, `respond`: what goes back.
//! 8. [`observe`]: the access log, and counts.

pub mod balance;
mod body;
pub mod dns;
mod exchange;
mod forwarded;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod listen;
pub mod live;
mod names;
pub mod observe;
pub mod options;
mod phases;
mod pool;
mod respond;
mod timed;
mod tls;
mod tunnel;
mod upstream;
mod worker;

pub use listen::{Proxy, StartError};
pub use live::{Compiler, Live};
pub use options::Options;
pub use tls::self_signed;
