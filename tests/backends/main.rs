//! One fleet on every backend, through `ringhold::testing` as users' tests reach them.

mod programs;
mod swap;
