//! libFuzzer's way into [`postern_fuzz::authorization`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::authorization(data));
