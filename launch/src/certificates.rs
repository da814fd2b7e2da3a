//! An authority that exists for one start of servers, and the certificates that it signs.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::options::url_encoded;
use crate::{Error, Result, ServerTls};

/// The files of an authority, of servers and of clients.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    folder: PathBuf,
    demanded: bool,
}

impl Certificates {
    /// Writes the files into `folder`: one certificate for all servers, at these addresses and this name, and one for
    /// clients. `None` without TLS.
    pub(crate) fn of(
        tls: ServerTls,
        folder: &Path,
        ips: &[IpAddr],
        host_name: Option<&str>,
    ) -> Result<Option<Self>> {
        if tls == ServerTls::Off {
            return Ok(None);
        }
        let folder = folder.join("certificates");
        fs::create_dir(&folder).map_err(Error::io("making a folder for certificates"))?;
        let names = ips.iter().map(IpAddr::to_string);
        write(&folder, names.chain(host_name.map(str::to_owned)).collect())?;
        Ok(Some(Self {
            folder,
            demanded: tls == ServerTls::ClientCertificates,
        }))
    }

    /// Their part of `redis.conf`.
    pub(crate) fn config(&self, port: u16) -> String {
        let file = |name: &str| self.folder.join(name).display().to_string();
        format!(
            "tls-port {port}\ntls-cluster yes\ntls-replication yes\ntls-ca-cert-file {}\ntls-cert-file {}\n\
             tls-key-file {}\ntls-auth-clients {}\n",
            file("ca.pem"),
            file("server.pem"),
            file("server.key"),
            if self.demanded { "yes" } else { "no" },
        )
    }

    /// Their arguments of `etcd`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.folder.join(name).display());
        let mut arguments = vec![file("cert-file", "server.pem"), file("key-file", "server.key")];
        if self.demanded {
            arguments.push("--client-cert-auth".to_owned());
            arguments.push(file("trusted-ca-file", "ca.pem"));
        }
        arguments
    }

    /// Their part of a URL.
    pub(crate) fn url(&self) -> String {
        let file = |name: &str| url_encoded(&self.folder.join(name).display().to_string());
        let own = if self.demanded {
            format!("&cert={}&key={}", file("client.pem"), file("client.key"))
        } else {
            String::new()
        };
        format!("&ca={}{own}", file("ca.pem"))
    }
}

#[cfg(feature = "tls")]
fn write(folder: &Path, servers: Vec<String>) -> Result<()> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    let failed = |error: rcgen::Error| Error::io("making certificates")(std::io::Error::other(error));
    // OpenSSL takes a certificate whose subject is its issuer's for one that signed itself.
    let params = |subject: &str, names| {
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, subject);
        Ok::<_, Error>(params)
    };
    let mut authority = params("authority", Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(failed)?);
    let authority = authority.map_err(failed)?;
    let write = |file: &str, text: String| {
        fs::write(folder.join(file), text).map_err(Error::io("writing a certificate"))
    };
    write("ca.pem", authority.pem())?;
    for (file, names) in [("server", servers), ("client", vec!["client".to_owned()])] {
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params(file, names)?.signed_by(&key, &authority);
        let certificate = certificate.map_err(failed)?;
        write(&format!("{file}.pem"), certificate.pem())?;
        write(&format!("{file}.key"), key.serialize_pem())?;
    }
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn write(_: &Path, _: Vec<String>) -> Result<()> {
    let message = "servers with TLS need the feature \"tls\" of ringhold-launch";
    Err(Error::new(crate::ErrorKind::Missing, message))
}
