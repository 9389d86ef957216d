#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pointsman_sfu::fuzz_data_channel(input));
