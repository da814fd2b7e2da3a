//! Files of certificates, keys and tokens: read within a limit, and looked at for changes.

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use ringhold_core::{Error, ErrorKind, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Security;
use super::words::LOAD;

/// The most bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All files of `security`.
pub(super) fn paths(security: &Security) -> impl Iterator<Item = &Path> {
    let paths = match security {
        Security::Plain => [None; 4],
        Security::MutualTls { ca, certificate, key } => [Some(ca), Some(certificate), Some(key), None],
        Security::Token {
            ca,
            certificate,
            key,
            token,
        } => [Some(ca), certificate.as_ref(), key.as_ref(), Some(token)],
    };
    paths.into_iter().flatten().map(AsRef::as_ref)
}

/// How a file looks from outside; it differs when the file was changed or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// A file that is moved into another's place brings its own times.
    identity: (u64, u64),
}

impl Stamp {
    /// `None` where there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            identity: identity(&metadata),
        })
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Warns where every user of the machine can read a secret.
pub(super) fn warn_of_exposed(security: &Security) {
    let secrets = match security {
        Security::Plain => [None, None],
        Security::MutualTls { key, .. } => [Some(key), None],
        Security::Token { key, token, .. } => [key.as_ref(), Some(token)],
    };
    for path in secrets.into_iter().flatten().filter(|path| is_exposed(path)) {
        tracing::warn!(path = %path.display(), "every user of this machine can read this secret; take that right away");
    }
}

#[cfg(unix)]
pub(super) fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // Of the group it may be on purpose: mounted secrets are given to a group.
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_exposed(_: &Path) -> bool {
    false
}

/// All of a file. `what` says what it is for.
pub(super) fn read(what: &str, path: &Path) -> Result<Vec<u8>> {
    let unread = |error| bad(what, path, "cannot be read").with_source(error);
    let file = File::open(path).map_err(unread)?;
    // A pipe would be waited on for ever.
    if !file.metadata().map_err(unread)?.is_file() {
        return Err(bad(what, path, "is no file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unread)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad(what, path, "has more than 1 MiB"));
    }
    Ok(bytes)
}

/// The certificates of a file, one at least.
pub(super) fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(what, path)?;
    // What the parser says repeats bytes of the file, so its words go no further, here as below.
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| bad(what, path, "is not PEM"))?;
    if certificates.is_empty() {
        return Err(bad(what, path, "holds no certificate in PEM"));
    }
    Ok(certificates)
}

/// The private key of a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let what = "the private key";
    let pem = read(what, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        bad(
            what,
            path,
            "holds no private key in PEM: PKCS#8, SEC1 or PKCS#1, not encrypted",
        )
    })
}

/// Something is wrong with a file.
pub(super) fn bad(what: &str, path: &Path, wrong: &str) -> Error {
    let context = format!("{what} in {} {wrong}", path.display());
    Error::new(ErrorKind::InvalidArgument, LOAD, context)
}
