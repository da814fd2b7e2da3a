//! One fleet on every backend, through `ringhold::testing` as users' tests reach them.

#[cfg(feature = "redb")]
mod abort;
mod programs;
#[cfg(any(feature = "redb", feature = "sled"))]
mod restart;
mod swap;
