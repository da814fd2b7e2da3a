//! Messages of peers from any bytes, and trace headers.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringhold_fuzz::frame::run(bytes));
