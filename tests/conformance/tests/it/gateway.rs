//! The gateway's cases that are data: a test for each file in `cases/gateway/`.
//!
//! `cases/gateway/README.md` says how to write one. `cargo test -p postern-conformance gateway::router` runs one file.

use postern_conformance::gateway_cases::{files, run};

macro_rules! cases {
    ($($file:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $file() {
                run(concat!(stringify!($file), ".yaml")).await;
            }
        )+

        #[test]
        fn every_file_is_run() {
            assert_eq!(files(), [$(concat!(stringify!($file), ".yaml")),+]);
        }
    };
}

cases!(attacks, expressions, plugins, router, services);
