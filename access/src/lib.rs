//! URLs, credentials and certificates of Ringhold's backends and transports, read in one way.
//!
//! Adapters use this crate; applications do not.

#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod file;
mod tls;
mod url;

#[cfg(feature = "tls")]
pub use self::certificates::{Certificates, ClientCertificates, Pems, TlsRefusal};
pub use self::tls::TlsFiles;
pub use self::url::{UrlReader, parse};
