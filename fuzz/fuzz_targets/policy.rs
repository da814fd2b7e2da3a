//! Policies over any view.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringhold_fuzz::policy::run(bytes));
