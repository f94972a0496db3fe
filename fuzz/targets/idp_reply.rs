//! libFuzzer's way into [`postern_fuzz::idp_reply`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::idp_reply(data));
