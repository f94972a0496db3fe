//! libFuzzer's way into [`postern_fuzz::admin_body`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::admin_body(data));
