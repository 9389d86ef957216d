#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pointsman_sfu::sdp::fuzz_fragment(input));
