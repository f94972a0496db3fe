//! The one test binary of the black-box tests: a module for each promise.

mod admin_acceptance;
mod admin_cluster;
mod admin_db_less;
mod admin_faults;
mod admin_guard;
mod admin_kong_client;
mod admin_replay;
mod admin_secrets;
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
mod plugin_secrets;
mod real_parts;
mod start;
mod tutorial;
