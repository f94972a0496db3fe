//! The data plane: the only crate that serves and opens traffic connections.
