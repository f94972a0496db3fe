//! The cases that are data: a test for each file in `cases/`.
//!
//! `cases/README.md` says how to write one. `cargo test -p postern-conformance cases::kv` runs one file.

use postern_conformance::cases::{check_files, run_all};

macro_rules! files {
    ($($file:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $file() {
                run_all(concat!(stringify!($file), ".yaml")).await;
            }
        )+

        #[test]
        fn every_file_is_sound_and_runs() {
            check_files(&[$(concat!(stringify!($file), ".yaml")),+]);
        }
    };
}

files!(bad_input, faq, kv, logins, references, tutorial);
