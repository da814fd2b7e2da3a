//! The runtime end to end: whole fleets on the memory backend, in simulated time where time matters.

mod failover;
mod isolation;
mod lifecycle;
mod login;
mod outage;
mod sessions;
mod support;
