#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| targets::apt_conf::run(input));
