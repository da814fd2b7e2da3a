//! The ring against the sorted vector.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringhold_fuzz::ring::run(bytes));
