//! libFuzzer's way into [`postern_fuzz::cache_key`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::cache_key(data));
