//! Certificates for the run: an authority, nodes, and whoever else calls.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority and what it has signed, as files.
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// The files of one certificate.
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("randomness");
        let authority = CertifiedIssuer::self_signed(params, key).expect("sound parameters");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("room on the disk");
        Self { folder, authority }
    }

    /// A certificate for the node `name`.
    pub(crate) fn node(&self, name: &str) -> Files {
        let key = KeyPair::generate().expect("randomness");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a DNS name");
        let certificate = params.signed_by(&key, &self.authority).expect("sound parameters");
        let file = |ending: &str, text: String| {
            let path = self.folder.path().join(format!("{name}.{ending}"));
            std::fs::write(&path, text).expect("room on the disk");
            path
        };
        Files {
            ca: self.folder.path().join("ca.pem"),
            certificate: file("pem", certificate.pem()),
            key: file("key", key.serialize_pem()),
        }
    }
}

impl Files {
    /// The URL of a transport that listens at `place`, or at none.
    pub(crate) fn url(&self, place: &str) -> String {
        let path = |path: &Path| path.display().to_string();
        format!(
            "grpcs://{place}?ca={}&cert={}&key={}",
            path(&self.ca),
            path(&self.certificate),
            path(&self.key)
        )
    }
}
