#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| targets::audit_rules::run(input));
