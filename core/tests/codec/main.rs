//! The stored forms: frozen by golden files, and robust against any bytes.

mod formats;
mod golden;
mod properties;
mod robustness;
mod told;
mod values;
