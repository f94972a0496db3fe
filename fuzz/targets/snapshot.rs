//! libFuzzer's way into [`postern_fuzz::snapshot`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::snapshot(data));
