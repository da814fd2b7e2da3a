//! The certificates of TLS connections: read from their files at each connect, so that new files need no restart.
//!
//! [`ClientCertificates`] reads them, [`refusal`](ClientCertificates::refusal) says why a server ended a connection.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{TlsFiles, file};

/// The contents of [`TlsFiles`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pems {
    /// The authorities that are trusted; `None` for the system's.
    pub ca: Option<Vec<u8>>,
    /// A certificate to show, and its private key.
    pub identity: Option<[Vec<u8>; 2]>,
}

/// Certificates that can be used, in the forms that client libraries take.
pub struct Certificates {
    /// The files' contents.
    pub pems: Pems,
    /// A configuration with them.
    pub config: ClientConfig,
}

/// Why no TLS connection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRefusal {
    /// The reason and what to do.
    pub context: String,
    /// Whether the certificates are the reason. If not, a server that is about to end looks the same.
    pub is_certain: bool,
}

/// The certificates of one backend.
pub struct ClientCertificates {
    files: TlsFiles,
    last: Mutex<Option<Arc<Certificates>>>,
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl ClientCertificates {
    /// The certificates of `files`, which are read when they are first needed.
    pub fn new(files: TlsFiles) -> Self {
        Self {
            files,
            last: Mutex::default(),
        }
    }

    /// Reads the files. If they have become unusable, logs a warning and returns the last usable certificates.
    ///
    /// # Errors
    /// The file and the reason, where the files have never been usable.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn load(&self) -> Result<Arc<Certificates>, String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (files, known) = (self.files.clone(), last.clone());
        let loading = tokio::task::spawn_blocking(move || load(&files, known));
        let loaded = loading.await.unwrap_or_else(|error| Err(error.to_string()));
        match (loaded, last) {
            (Ok(loaded), _) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&loaded));
                Ok(loaded)
            }
            (Err(why), Some(last)) => {
                tracing::warn!(
                    why,
                    "certificates cannot be read; the last usable ones remain in use"
                );
                Ok(last)
            }
            (Err(why), None) => Err(why),
        }
    }

    /// The reason in terms of TLS why a connection broke before its server answered anything; `None` where TLS is not the
    /// reason. `shown` is the error with its sources.
    pub fn refusal(&self, shown: &str) -> Option<TlsRefusal> {
        let has = |words: &[&str]| words.iter().any(|word| shown.contains(word));
        let certain = |context: String| {
            Some(TlsRefusal {
                context,
                is_certain: true,
            })
        };
        let advice = if self.files.identity.is_some() {
            "does it trust the certificate of cert="
        } else {
            "does it demand a client certificate (cert= and key=)"
        };
        if has(&["CertificateRequired"]) {
            certain("the server demands a client certificate; give cert= and key=".to_owned())
        } else if has(&["InvalidCertificate", "invalid peer certificate"]) {
            certain(format!(
                "the server's certificate is not trusted; ca= names the authorities that are trusted ({shown})"
            ))
        } else if has(&["AlertReceived", "fatal alert"]) {
            certain(format!(
                "the server refuses the TLS handshake; {advice}? ({shown})"
            ))
        } else if has(&ENDED) {
            Some(TlsRefusal {
                context: format!(
                    "the server ended the TLS connection before it answered; {advice}, and does it speak TLS at this \
                     port? ({shown})"
                ),
                is_certain: false,
            })
        } else {
            None
        }
    }
}

/// Words of errors about connections that ended.
const ENDED: [&str; 9] = [
    "reset",
    "roken pipe",
    "BrokenPipe",
    "close_notify",
    "UnexpectedEof",
    "eof",
    "EOF",
    "has ended",
    "connection closed",
];

fn load(files: &TlsFiles, known: Option<Arc<Certificates>>) -> Result<Arc<Certificates>, String> {
    let read = |(name, path): (&str, &PathBuf)| {
        file::read(path).map_err(|why| format!("{name}={}: {why}", path.display()))
    };
    let pems = Pems {
        ca: files.ca.as_ref().map(|ca| read(("ca", ca))).transpose()?,
        identity: match &files.identity {
            Some([cert, key]) => Some([read(("cert", cert))?, read(("key", key))?]),
            None => None,
        },
    };
    match known {
        Some(known) if known.pems == pems => Ok(known),
        _ => Ok(Arc::new(Certificates {
            config: config(&pems)?,
            pems,
        })),
    }
}

fn config(pems: &Pems) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &pems.ca {
        for certificate in chain(ca).map_err(|why| format!("ca= {why}"))? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("ca= holds no authority: {error}"))?;
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::debug!(%error, "certificates that cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some([certificate, key]) = &pems.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let certificates = chain(certificate).map_err(|why| format!("cert= {why}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| "key= holds no private key in PEM".to_owned())?;
    let config = builder.with_client_auth_cert(certificates, key);
    config.map_err(|error| format!("cert= and key= do not fit: {error}"))
}

/// The certificates of a PEM text: one at least.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err("holds no certificate in PEM".to_owned()),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_handshake_without_a_certificate_names_cert_and_key() {
        let identity = ["cert.pem", "key.pem"].map(PathBuf::from);
        for (identity, advice) in [
            (None, "cert= and key="),
            (Some(identity), "trust the certificate of cert="),
        ] {
            let certificates = ClientCertificates::new(TlsFiles { ca: None, identity });
            for (shown, is_certain) in [
                ("received fatal alert: BadCertificate", true),
                ("connection closed", false),
            ] {
                let refusal = certificates.refusal(shown).unwrap();
                assert!(refusal.context.contains(advice), "{refusal:?}");
                assert_eq!(refusal.is_certain, is_certain, "{refusal:?}");
            }
            assert_eq!(certificates.refusal("connection refused"), None);
        }
    }
}
