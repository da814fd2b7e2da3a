//! The rules of membership.

mod corrupt;
mod model;
mod races;
mod steps;
