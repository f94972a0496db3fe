//! A client of the Admin API: what `postern sync` and its like are made of.
