//! libFuzzer's way into [`postern_fuzz::template`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::template(data));
