//! The runtime end to end: whole fleets on the memory backend, in simulated time where time matters.

mod failover;
mod hooks;
mod isolation;
mod leaving;
mod lifecycle;
mod login;
mod login_races;
mod misuse;
mod placing;
mod registration;
mod saves;
mod sessions;
mod support;
mod survival;
