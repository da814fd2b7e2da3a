//! Authorities, certificates, and the folders that they lie in.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use tempfile::TempDir;

use crate::Security;

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with such names, good for both uses; those with `://` are URIs.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_as(names, |_| {})
    }

    /// One that was good until 2001.
    pub(crate) fn expired(&self, names: &[&str]) -> Signed {
        self.sign_as(names, |params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        })
    }

    /// One that will be good.
    pub(crate) fn early(&self, names: &[&str]) -> Signed {
        self.sign_as(names, |params| {
            params.not_before = date_time_ymd(4000, 1, 1);
            params.not_after = date_time_ymd(4001, 1, 1);
        })
    }

    /// One for servers alone.
    pub(crate) fn for_servers(&self, names: &[&str]) -> Signed {
        self.sign_as(names, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// One for callers alone.
    pub(crate) fn for_callers(&self, names: &[&str]) -> Signed {
        self.sign_as(names, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    fn sign_as(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.subject_alt_names = names
            .iter()
            .map(|name| {
                let text = (*name).try_into().unwrap();
                if name.contains("://") {
                    SanType::URI(text)
                } else {
                    SanType::DnsName(text)
                }
            })
            .collect();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Signed {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A certificate and its key.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The files of one process.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// One that trusts `authority` and shows `signed`.
    pub(crate) fn new(authority: &Authority, signed: &Signed) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("ca.pem", &authority.pem());
        folder.put(signed);
        folder
    }

    /// Puts another certificate and key in the place of the old ones.
    pub(crate) fn put(&self, signed: &Signed) {
        self.write("certificate.pem", &signed.certificate);
        self.write("key.pem", &signed.key);
    }

    /// Puts a file there, whole at once, readable by its owner.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let mut file = tempfile::NamedTempFile::new_in(self.0.path()).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file.persist(self.path(name)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::join(self.0.path(), name)
    }

    pub(crate) fn mutual(&self) -> Security {
        Security::MutualTls {
            ca: self.path("ca.pem"),
            certificate: self.path("certificate.pem"),
            key: self.path("key.pem"),
        }
    }

    /// With a certificate, for a process that serves.
    pub(crate) fn token(&self) -> Security {
        Security::Token {
            ca: self.path("ca.pem"),
            certificate: Some(self.path("certificate.pem")),
            key: Some(self.path("key.pem")),
            token: self.path("token"),
        }
    }

    /// Without one.
    pub(crate) fn caller_token(&self) -> Security {
        Security::Token {
            ca: self.path("ca.pem"),
            certificate: None,
            key: None,
            token: self.path("token"),
        }
    }
}
