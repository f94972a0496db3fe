//! Where configuration comes from, and the one way it takes effect.
