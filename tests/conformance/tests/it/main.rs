//! The one test binary of the black-box tests: a module for each promise.

mod bad_input;
mod canary;
mod cases;
mod commands;
mod devstack_vs_openbao;
mod faq;
mod faults_under_load;
mod framing;
mod lying_servers;
mod real_parts;
mod start;
mod tutorial;
