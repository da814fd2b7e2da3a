//! The same random requests go to the reference implementation and to another backend, and every answer
//! is to be the same. What the contract leaves open is compared more loosely, and said so where it is.
//!
//! Everything comes from a seed, which is printed where the two differ; `RINGHOLD_SEED` gives others.

mod discovery;
mod pair;
mod sessions;
mod subjects;
