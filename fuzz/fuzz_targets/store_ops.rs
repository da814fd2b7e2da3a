//! The memory store against its model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringhold_fuzz::store_ops::run(bytes));
