//! The runtime end to end: whole fleets on the memory backend, in simulated time where time matters.

mod calls;
mod crowd;
mod decoding;
mod displaced;
mod expiry;
mod failover;
mod hooks;
mod isolation;
mod kicks;
mod leaving;
mod lifecycle;
mod line;
mod login;
mod login_races;
mod messages;
mod misuse;
mod once;
mod placing;
mod registration;
mod saves;
mod sessions;
mod spans;
mod streams;
mod support;
mod survival;
mod verified;
