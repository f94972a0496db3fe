//! What a configuration is made into, kind by kind.
