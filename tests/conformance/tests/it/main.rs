//! The one test binary of the black-box tests: a module for each promise.

mod admin_acceptance;
mod admin_cluster;
mod bad_input;
mod canary;
mod cases;
mod commands;
mod devstack_vs_openbao;
mod faq;
mod faults_under_load;
mod framing;
mod gateway;
mod gateway_balance;
mod gateway_secrets;
mod gateway_tls;
mod gateway_traffic;
mod lying_servers;
mod real_parts;
mod start;
mod tutorial;
