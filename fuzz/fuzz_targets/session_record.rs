//! Stored sessions and tombstones from any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringhold_fuzz::session_record::run(bytes));
