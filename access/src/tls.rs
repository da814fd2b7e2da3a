//! The files of TLS connections.

use std::path::PathBuf;

use ringhold_core::Result;

use crate::UrlReader;

/// The files of TLS connections, PEM of at most 1 MiB each. Without any, the system's authorities are trusted and no
/// certificate is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that are trusted, in place of the system's.
    pub ca: Option<PathBuf>,
    /// A certificate to show, and its private key.
    pub identity: Option<[PathBuf; 2]>,
}

impl UrlReader<'_> {
    /// The files of `ca=`, `cert=` and `key=`.
    ///
    /// # Errors
    /// `InvalidArgument` for one of `cert=` and `key=` without the other, an empty name, and any file where
    /// `over_tls` is false; `instead` names the scheme to write.
    pub fn tls_files(&self, over_tls: bool, instead: &str) -> Result<TlsFiles> {
        let (ca, certificate, key) = (self.file("ca")?, self.file("cert")?, self.file("key")?);
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some([certificate, key]),
            (None, None) => None,
            _ => return Err(self.invalid("cert= and key= belong together")),
        };
        let files = TlsFiles { ca, identity };
        if files != TlsFiles::default() && !over_tls {
            return Err(self.invalid(format!("ca=, cert= and key= need TLS; write {instead}")));
        }
        Ok(files)
    }
}
