#![no_main]
//! The readers of `turnserver.conf`, taken from the binary's source by path: depending on the binary would build all of it.

#[path = "../../src/coturn/lines.rs"]
mod lines;
#[path = "../../src/coturn/value.rs"]
mod value;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    for line in lines::lines(&text) {
        assert!(!line.name.contains([' ', '\t', '=']) && !line.name.starts_with('#'));
        let _ = (value::number(line.value), value::truth(line.value), value::endpoint(line.value, Some(3478)));
        if let Some(range) = value::range(line.value) {
            assert!(range.start() <= range.end() && range.start().is_ipv4() == range.end().is_ipv4());
        }
    }
});
