//! The membership beyond its contract: what histories, foreign values and clocks do to it, on one real
//! Redis whose clock stands still, and beside another fleet on a real cluster.

#[path = "suite/mod.rs"]
mod suite;

mod membership {
    mod departed;
    mod foreign;
    mod history;
    mod scene;
    mod time;
}
