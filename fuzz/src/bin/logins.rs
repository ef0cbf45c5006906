#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| targets::logins::run(input));
