//! libFuzzer's way into [`postern_fuzz::deck_env`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::deck_env(data));
