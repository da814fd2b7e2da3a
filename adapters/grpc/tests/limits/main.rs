//! What callers, servers and what lies between them may do to each other, and what it costs the others.

mod bed;
mod bytes_from_outside;
mod callers;
mod probes;
mod servers;
mod way;
