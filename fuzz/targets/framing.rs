//! libFuzzer's way into [`postern_fuzz::framing`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::framing(data));
