#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pointsman_sfu::transport::fuzz_client_hello(input));
