//! libFuzzer's way into [`postern_fuzz::jwt_claims`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::jwt_claims(data));
