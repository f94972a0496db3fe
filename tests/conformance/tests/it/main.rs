//! The one test binary of the black-box tests: a module for each promise.

mod real_parts;
