#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::host_files::run(input));
