//! Stored node records from any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringhold_fuzz::node_record::run(bytes));
