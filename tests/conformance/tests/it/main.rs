//! The one test binary of the black-box tests: a module for each promise.

mod cases;
mod devstack_vs_openbao;
mod real_parts;
