//! The certificates of TLS connections: read from their files at each connect, so that new files need no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{Command, Link, LinkError, TlsFiles};

/// The most bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The contents of [`TlsFiles`].
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Pems {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) identity: Option<[Vec<u8>; 2]>,
}

/// Certificates that can be used, as each client library takes them.
pub(crate) struct Certificates {
    pub(crate) pems: Pems,
    #[cfg_attr(
        not(feature = "fred"),
        expect(dead_code, reason = "of the client library fred")
    )]
    pub(crate) config: ClientConfig,
}

/// The certificates of one backend.
pub(crate) struct Tls {
    files: TlsFiles,
    last: Mutex<Option<Arc<Certificates>>>,
}

impl Tls {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self {
            files,
            last: Mutex::default(),
        }
    }

    /// The certificates of the files. Files that have become unusable are logged, and the certificates before them are
    /// used on.
    pub(crate) async fn certificates(&self) -> Result<Arc<Certificates>, LinkError> {
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
                    "the certificates of Redis cannot be read; the ones before are used on"
                );
                Ok(last)
            }
            (Err(why), None) => Err(LinkError::Denied(why)),
        }
    }

    /// A link that was made, once its server has answered on it: only then has it accepted this side's certificate.
    pub(crate) async fn accepted(
        &self,
        made: Result<Arc<dyn Link>, LinkError>,
    ) -> Result<Arc<dyn Link>, LinkError> {
        let answered = match made {
            Ok(link) => link.send(&[Command::of(&["PING"])]).await.map(|_| link),
            Err(error) => Err(error),
        };
        answered.map_err(|error| self.explain(error))
    }

    /// The reason in the words of TLS why a connection to a server broke that has not answered anything yet.
    fn explain(&self, error: LinkError) -> LinkError {
        let LinkError::Broken(source) = error else {
            return error;
        };
        // A library may keep of an error what its `Debug` shows.
        let shown = format!("{source} {source:?}");
        let has = |words: &[&str]| words.iter().any(|word| shown.contains(word));
        let own = self.files.identity.is_some();
        let why = if has(&["CertificateRequired"]) {
            "the server demands a client certificate; give cert= and key=".to_owned()
        } else if has(&["InvalidCertificate", "invalid peer certificate"]) {
            format!(
                "the server's certificate is not trusted; ca= names the authorities that are trusted ({source})"
            )
        } else if has(&["AlertReceived", "fatal alert"]) {
            format!(
                "the server refuses the TLS handshake; does it trust the certificate of cert=? ({source})"
            )
        } else if has(&[
            "reset",
            "roken pipe",
            "BrokenPipe",
            "close_notify",
            "UnexpectedEof",
            "eof",
            "EOF",
            "has ended",
        ]) {
            let advice = if own {
                "does it trust the certificate of cert=, and does it speak TLS at this port?"
            } else {
                "does it demand a client certificate (cert= and key=), and does it speak TLS at this port?"
            };
            format!("the server ended the TLS connection before it answered; {advice} ({source})")
        } else {
            return LinkError::Broken(source);
        };
        LinkError::Tls(why)
    }
}

fn load(files: &TlsFiles, known: Option<Arc<Certificates>>) -> Result<Arc<Certificates>, String> {
    let read = |(name, path): (&str, &PathBuf)| {
        read(path).map_err(|why| format!("{name}={}: {why}", path.display()))
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is longer than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
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
