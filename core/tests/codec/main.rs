//! The stored forms: frozen by golden files, and robust against any bytes.

mod golden;
mod properties;
mod robustness;
mod values;
