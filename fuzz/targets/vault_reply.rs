//! libFuzzer's way into [`postern_fuzz::vault_reply`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::vault_reply(data));
