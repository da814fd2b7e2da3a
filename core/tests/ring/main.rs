//! The ring against an implementation of its own specification, and against its golden vectors.

mod allocations;
mod golden;
mod oracle;
mod properties;
