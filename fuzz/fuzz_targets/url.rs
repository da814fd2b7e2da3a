//! What a URL asks for, with nothing opened.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringhold_fuzz::url::run(bytes));
